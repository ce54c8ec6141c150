import { randomUUID } from 'node:crypto';
import { openLogReader, openProducer } from '@weir/connect-kafka';
import { finishReplay, openDatabase, recordReplay } from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { kafkaTopology } from '@weir/topology';
import { Command, Option } from 'commander';
import { caller } from '../caller.ts';
import {
  type LateSummary,
  type LetterFilter,
  lateLetters,
  sendLate,
  summarize,
} from '../dead-letters/late.ts';
import { numberWithin, timeOf } from '../duration.ts';
import { number, Output, type Terminal, table } from '../output.ts';
import { Progress } from '../progress.ts';
import { effectiveConfig, quietLogger, usage } from '../settings.ts';

interface Options {
  readonly device?: string;
  readonly site?: string;
  readonly from?: string;
  readonly to?: string;
  readonly id?: string;
  readonly why?: string;
  readonly by?: string;
  readonly rate: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly data?: string;
  readonly json?: boolean;
}

function filterOf({ device, site, from, to, id }: Options): LetterFilter {
  return {
    ...(device === undefined ? {} : { device }),
    ...(site === undefined ? {} : { site }),
    ...(from === undefined ? {} : { from: timeOf('--from', from) }),
    ...(to === undefined ? {} : { to: timeOf('--to', to) }),
    ...(id === undefined ? {} : { id }),
  };
}

const iso = (ms: number): string => new Date(ms).toISOString();

function describe({ letters, readings, counted, devices, samples }: LateSummary): string {
  if (letters === 0) return 'No dead letter with reason late fits.';
  const busiest = [...devices].sort((a, b) => b[1] - a[1]).slice(0, 5);
  const more = devices.size > busiest.length ? ` and ${number(devices.size - busiest.length)} more` : '';
  return [
    `${number(letters)} dead letters with ${number(readings)} late readings of ${number(devices.size)} devices: ` +
      `${busiest.map(([name, n]) => `${name} (${number(n)})`).join(', ')}${more}.`,
    ...(counted === 0 ? [] : [`${number(counted)} of them were brought back before and are left out.`]),
    '',
    table(
      [
        { title: 'LETTER', value: (one) => one.stored.letter.id },
        { title: 'DEVICE', value: (one) => `${one.envelope.site}/${one.envelope.device}` },
        { title: 'ARRIVED', value: (one) => iso(one.envelope.at) },
        {
          title: 'LATE READINGS',
          value: (one) => one.readings.map(({ metric, ts }) => `${metric} of ${iso(ts)}`).join(', '),
        },
        { title: 'BURIED', value: (one) => iso(one.stored.letter.lastFailedAt) },
      ],
      samples,
    ),
  ].join('\n');
}

const jsonOf = ({ letters, readings, counted, devices, samples }: LateSummary) => ({
  letters,
  readings,
  countedBefore: counted,
  devices: devices.size,
  samples: samples.map(({ stored, envelope, readings: late }) => ({
    id: stored.letter.id,
    site: envelope.site,
    device: envelope.device,
    arrived: iso(envelope.at),
    buried: iso(stored.letter.lastFailedAt),
    readings: late.map(({ metric, ts }) => ({ metric, ts: iso(ts) })),
  })),
});

async function replayLate(terminal: Terminal, options: Options): Promise<void> {
  const output = new Output(terminal, options.json);
  const filter = filterOf(options);
  const rate = numberWithin('--rate', options.rate, 1, 1_000_000);
  const { why } = options;
  if (options.dryRun !== true && (why === undefined || why.trim() === ''))
    throw usage('Say --why these readings are brought back: it is recorded with the replay.');
  const { kafka, timescale, namespace } = effectiveConfig(options.data);
  const { readings, deadLetters } = kafkaTopology(namespace);
  const log = quietLogger();
  const client = {
    brokers: kafka.brokers,
    clientId: 'weir-dlq',
    requestTimeoutMs: kafka.requestTimeout,
    log,
  };
  const letters = openLogReader(client, deadLetters.name);
  const producer = openProducer(client);
  const database = openDatabase({ url: timescale.url, poolSize: 1, log, name: 'weir-dlq' });
  const progress = new Progress(terminal);
  const chosen = () => lateLetters(letters, database, readings.name, filter);
  try {
    const summary = await progress.step('Reading the dead letters', () => summarize(chosen()));
    const open = summary.letters - summary.counted;
    if (options.dryRun === true || options.yes !== true || open === 0) {
      output.result({ ...jsonOf(summary), sent: 0 }, () => describe(summary));
      if (options.dryRun !== true && open > 0)
        throw new WeirError(
          'WEIR_STATE',
          'fatal',
          `This would send ${number(open)} dead letters to ${readings.name}. Say --yes to do it.`,
        );
      return;
    }
    const replay = { task: randomUUID(), by: options.by ?? caller() };
    const given = Object.entries({ reason: 'late', ...filter }).map(([key, value]) => [key, String(value)]);
    await recordReplay(database, {
      id: replay.task,
      by: replay.by,
      why: why as string,
      filter: Object.fromEntries(given),
    });
    const sent = await progress.step('Sending', (detail) =>
      sendLate(chosen(), {
        producer,
        topic: readings.name,
        replay,
        rate,
        onSent: (count) => detail(`${number(count)} of ${number(open)} letters`),
      }),
    );
    await finishReplay(database, replay.task, sent);
    output.result(
      { ...jsonOf(summary), sent: sent.letters, sentReadings: sent.readings, task: replay.task },
      () =>
        `${number(sent.letters)} dead letters with ${number(sent.readings)} late readings are in ${readings.name} again ` +
        `(replay ${replay.task}). The aggregator counts each of them once; \`weir trace\` shows where one is.`,
    );
  } finally {
    progress.close();
    await Promise.all([letters.close(), producer.close(), database.close()]);
  }
}

export function dlqCommand(terminal: Terminal): Command {
  const command = new Command('dlq').description('dead letters: what could not be processed').addHelpText(
    'after',
    `
Examples:
  $ weir dlq replay --reason late --dry-run
  $ weir dlq replay --reason late --device pump-7 --why 'its clock was repaired' --yes

A replayed reading is merged into its windows at every level, however late it is. It counts once, for ever: a replay
that was interrupted is simply run again.`,
  );
  command
    .command('replay')
    .description('bring late readings back into their windows')
    .addOption(
      new Option('--reason <reason>', 'why they were buried').choices(['late']).makeOptionMandatory(),
    )
    .option('--device <device>', 'only of this device')
    .option('--site <site>', 'only of this site')
    .option('--from <time>', 'only what was buried from here on, RFC 3339 or epoch milliseconds')
    .option('--to <time>', 'only what was buried before')
    .option('--id <id>', 'only this dead letter')
    .option('--why <text>', 'the reason, recorded with the replay; required')
    .option('--by <name>', 'who does it (default: user@host)')
    .option('--rate <n>', 'dead letters a second, at most', '2000')
    .option('--dry-run', 'only say what would be sent')
    .option('--yes', 'do it; without it the command only says what it would do')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON')
    .action((options: Options) => replayLate(terminal, options));
  return command;
}
