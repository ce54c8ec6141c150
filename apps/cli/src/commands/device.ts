import { readFileSync } from 'node:fs';
import { openClient } from '@weir/connect-mqtt';
import { openBroadcast } from '@weir/connect-rabbitmq';
import type { DeviceCredentials } from '@weir/connect-timescale';
import { errorMessage, WeirError } from '@weir/flow';
import {
  CHOSEN_SECRET_COST,
  commandFilter,
  GENERATED_SECRET_COST,
  generateSecret,
  hashSecret,
  isName,
  LIMITS,
} from '@weir/reading';
import { COMMAND_EVENTS, PORTS } from '@weir/topology';
import { Command } from 'commander';
import { openCredentials } from '../credential-store.ts';
import { Output, type Terminal, table } from '../output.ts';
import { effectiveConfig, quietLogger, usage } from '../settings.ts';

interface Common {
  readonly file?: string;
  readonly data?: string;
  readonly json?: boolean;
}

async function withStore<T>(options: Common, work: (store: DeviceCredentials) => Promise<T>): Promise<T> {
  const config = effectiveConfig(options.data);
  const store = await openCredentials(options.file ?? config.edge.credentialsFile, config.timescale.url);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

const TOLD_MS = 2_000;

/** Edges read changed credentials every few seconds; those that hear this do it at once. */
async function tellEdges(options: Common): Promise<void> {
  const { rabbitmq } = effectiveConfig(options.data);
  const broadcast = openBroadcast({
    url: rabbitmq.url,
    heartbeatMs: rabbitmq.heartbeat,
    name: 'weir device',
    log: quietLogger(),
  });
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, TOLD_MS);
  await Promise.race([broadcast.tell({ kind: 'credentials' }).catch(() => undefined), late]);
  clearTimeout(timer);
  await broadcast.stop();
}

function requireNames(site: string, device: string): void {
  const rule = 'letters and digits of any script, - and _; no . / * # + $ " \\ or space';
  if (!isName(site, LIMITS.siteBytes)) throw usage(`"${site}" is no site name (${rule}).`);
  if (!isName(device, LIMITS.deviceBytes)) throw usage(`"${device}" is no device name (${rule}).`);
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

function add(terminal: Terminal): Command {
  return new Command('add')
    .description('give a device a credential; its secret is shown once')
    .argument('<site>', 'site of the device')
    .argument('<device>', 'name of the device; also its MQTT client id and user name')
    .option('--secret-file <file>', 'take the secret from a file instead of generating one')
    .option('--publish <filter>', 'one more topic filter it may publish to (repeatable)', collect, [])
    .option('--subscribe <filter>', 'one more topic filter it may subscribe to (repeatable)', collect, [])
    .option('--replace', 'replace the credential of a device that has one')
    .action(async (site: string, device: string, options, command: Command) => {
      const all = command.optsWithGlobals<Common>();
      const output = new Output(terminal, all.json);
      requireNames(site, device);
      const chosen =
        options.secretFile === undefined ? undefined : readFileSync(options.secretFile, 'utf8').trim();
      if (chosen !== undefined && chosen.length < 12) throw usage('A secret has at least 12 characters.');
      const secret = chosen ?? generateSecret();
      const hash = await hashSecret(
        secret,
        chosen === undefined ? GENERATED_SECRET_COST : CHOSEN_SECRET_COST,
      );
      await withStore(all, async (store) => {
        const known = (await store.list()).find((one) => one.device === device && one.revokedAt === null);
        if (known !== undefined && options.replace !== true) {
          throw new WeirError(
            'WEIR_STATE',
            'fatal',
            `Device ${device} has a credential already (site ${known.site}). Use --replace to give it a new one.`,
          );
        }
        const { publish, subscribe } = options;
        const createdAt = new Date().toISOString();
        await store.put({ device, site, hash, publish, subscribe, createdAt, revokedAt: null });
      });
      await tellEdges(all);
      const shown = chosen === undefined ? secret : '(as given)';
      output.result(
        { site, device, username: device, secret: shown, topic: `telemetry/v1/${site}/${device}` },
        () =>
          [
            `Device ${device} of site ${site} may connect now.`,
            `  client id and user name  ${device}`,
            `  password                 ${shown}`,
            `  publishes to             telemetry/v1/${site}/${device}[/<metric>]`,
            ...(chosen === undefined ? ['The password is not stored and cannot be shown again.'] : []),
          ].join('\n'),
      );
    });
}

function list(terminal: Terminal): Command {
  return new Command('list')
    .description('devices that have a credential')
    .option('--all', 'revoked ones too')
    .action(async (options, command: Command) => {
      const all = command.optsWithGlobals<Common>();
      const found = await withStore(all, (store) => store.list());
      const shown = found
        .filter((one) => options.all === true || one.revokedAt === null)
        .map(({ hash: _, ...rest }) => rest);
      new Output(terminal, all.json).result(shown, () =>
        table(
          [
            { title: 'DEVICE', value: (one) => one.device },
            { title: 'SITE', value: (one) => one.site },
            { title: 'SINCE', value: (one) => one.createdAt },
            {
              title: 'STATE',
              value: (one) => (one.revokedAt === null ? 'valid' : `revoked ${one.revokedAt}`),
            },
          ],
          shown,
          'No device has a credential. Add one with: weir device add <site> <device>',
        ),
      );
    });
}

function revoke(terminal: Terminal): Command {
  return new Command('revoke')
    .description('take the credential of a device away')
    .argument('<device>', 'name of the device')
    .option('--yes', 'do it; without it the command only says what it would do')
    .action(async (device: string, options, command: Command) => {
      const all = command.optsWithGlobals<Common>();
      const output = new Output(terminal, all.json);
      if (options.yes !== true) {
        const known = await withStore(all, (store) => store.list());
        const found = known.find((one) => one.device === device && one.revokedAt === null);
        if (found === undefined) throw absent(device);
        throw new WeirError(
          'WEIR_STATE',
          'fatal',
          `This would end the access of device ${device} of site ${found.site}. Say --yes to do it.`,
        );
      }
      if (!(await withStore(all, (store) => store.revoke(device)))) throw absent(device);
      await tellEdges(all);
      output.result({ device, revoked: true }, () => `Device ${device} may not connect any more.`);
    });
}

const absent = (device: string): WeirError =>
  new WeirError(
    'WEIR_STATE',
    'fatal',
    `Device ${device} has no valid credential. \`weir device list\` shows those that have.`,
  );

function secretOf(file: string | undefined): string | undefined {
  return file === undefined ? process.env.WEIR_DEVICE_SECRET : readFileSync(file, 'utf8').trim();
}

function connectAs(device: string, secret: string | undefined, options: Common & { readonly url?: string }) {
  const config = effectiveConfig(options.data);
  const url = options.url ?? `mqtt://127.0.0.1:${PORTS.mqtt + config.ports.offset}`;
  return openClient({
    url,
    clientId: device,
    ...(secret === undefined ? {} : { username: device, password: secret }),
  });
}

function publish(terminal: Terminal): Command {
  return new Command('publish')
    .description('publish one payload as a device')
    .argument('<site>', 'site of the device')
    .argument('<device>', 'name of the device')
    .argument('<payload>', 'a number, or JSON as in the conventions')
    .option('--metric <name>', 'metric in the topic, for a payload that names none')
    .option('--qos <level>', '0, 1 or 2', '1')
    .option('--url <url>', 'address of the broker (default: the edge of this machine)')
    .option('--secret-file <file>', 'file with the password')
    .action(async (site: string, device: string, payload: string, options, command: Command) => {
      const all = command.optsWithGlobals<Common & { url?: string }>();
      requireNames(site, device);
      const qos = Number(options.qos);
      if (qos !== 0 && qos !== 1 && qos !== 2) throw usage('--qos is 0, 1 or 2.');
      const topic = `telemetry/v1/${site}/${device}${options.metric === undefined ? '' : `/${options.metric}`}`;
      const client = await connectAs(device, secretOf(options.secretFile), all);
      try {
        await client.publish(topic, payload, qos);
      } finally {
        await client.close();
      }
      const how = qos === 0 ? 'sent (QoS 0: nobody acknowledges)' : 'acknowledged: on disk at the edge';
      new Output(terminal, all.json).result({ topic, qos, acknowledged: qos > 0 }, () => `${topic} ${how}`);
    });
}

/** The id in a command; undefined for anything else that is published on its topic. */
function commandId(text: string): string | undefined {
  try {
    const { id } = JSON.parse(text) as { readonly id?: unknown };
    return typeof id === 'string' ? id : undefined;
  } catch {
    return undefined;
  }
}

function listen(terminal: Terminal): Command {
  return new Command('listen')
    .description("print a device's commands as they come, until Ctrl-C")
    .argument('<site>', 'site of the device')
    .argument('<device>', 'name of the device')
    .option('--answer', 'answer each command: done')
    .option('--url <url>', 'address of the broker (default: the edge of this machine)')
    .option('--secret-file <file>', 'file with the password')
    .action(async (site: string, device: string, options, command: Command) => {
      const all = command.optsWithGlobals<Common & { url?: string }>();
      requireNames(site, device);
      const output = new Output(terminal, all.json);
      const { topics } = effectiveConfig(all.data).edge;
      const client = await connectAs(device, secretOf(options.secretFile), all);
      await client.subscribe(commandFilter(topics, site, device), (topic, payload) => {
        const text = payload.toString('utf8');
        output.line(output.json ? JSON.stringify({ topic, payload: text }) : `${topic} ${text}`);
        const id = options.answer === true ? commandId(text) : undefined;
        if (id === undefined) return;
        const answers = topics.events
          .replace('{site}', site)
          .replace('{device}', device)
          .replace('{kind}', COMMAND_EVENTS.answered);
        client
          .publish(answers, JSON.stringify({ id, ok: true }), 1)
          .catch((error: unknown) => output.note(`The answer was not taken: ${errorMessage(error)}`));
      });
      await new Promise<void>((resolve) => {
        process.once('SIGINT', () => resolve());
        process.once('SIGTERM', () => resolve());
      });
      await client.close();
    });
}

export function deviceCommand(terminal: Terminal): Command {
  const command = new Command('device').description('credentials of devices, and acting as one').addHelpText(
    'after',
    `
Examples:
  $ weir device add plant-1 pump-7
  $ weir device publish plant-1 pump-7 '{"value":21.4,"unit":"C"}' --metric temperature --secret-file pump-7.secret
  $ weir device list --json
  $ weir device revoke pump-7 --yes

Credentials live in the database, or in the file of edge.credentialsFile or --file (JSON lines).`,
  );
  for (const make of [add, list, revoke, publish, listen]) {
    command.addCommand(
      make(terminal)
        .option('--file <file>', 'credentials file instead of the database')
        .option('--data <dir>', 'data folder of `weir up`')
        .option('--json', 'print JSON'),
    );
  }
  return command;
}
