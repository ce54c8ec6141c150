import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { openClient } from '@weir/connect-mqtt';
import { oneShot, provisionExtras } from '@weir/infra';
import { GENERATED_SECRET_COST, hashSecret } from '@weir/reading';
import { atEnd, freePorts, isolated, type Scope, spawnApp, until } from '@weir/testkit';
import { PORTS } from '@weir/topology';
import { SMTPServer } from 'smtp-server';
import { notifyBench } from '../notify.fixture.ts';

const soon = (what: string, deadlineMs = 20_000) => ({ what, deadlineMs, everyMs: 50 });

/** Debian's Alertmanager, in a file tree of its own; resolves with its address. */
async function realAlertmanager(t: Scope): Promise<string> {
  const root = await provisionExtras();
  const { folder } = await isolated(t, {});
  const [port = 0] = await freePorts(1);
  const files = join(folder, 'alertmanager');
  mkdirSync(files);
  writeFileSync(join(files, 'alertmanager.yml'), 'route: { receiver: none }\nreceivers: [{ name: none }]\n');
  const { program, args } = oneShot({
    root,
    binds: [[files, '/mnt']],
    env: { PATH: '/usr/bin:/bin', HOME: '/tmp' },
    command: [
      'prometheus-alertmanager',
      '--config.file=/mnt/alertmanager.yml',
      '--storage.path=/tmp/alertmanager',
      `--web.listen-address=127.0.0.1:${port}`,
      '--cluster.listen-address=',
    ],
  });
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = `${said}${chunk.toString()}`.slice(-4_000);
  });
  atEnd(t, () => void child.kill('SIGKILL'));
  const url = `http://127.0.0.1:${port}`;
  await until(async () => (await fetch(`${url}/-/ready`)).ok, soon('Alertmanager to be ready')).catch(
    (error: Error) => {
      throw new Error(`${error.message}\n${said}`);
    },
  );
  return url;
}

interface GettableAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly startsAt: string;
  readonly endsAt: string;
  readonly updatedAt: string;
}

test('Alertmanager has what fires, is told again so that it goes on, and drops it when it is resolved', async (t) => {
  const url = await realAlertmanager(t);
  const { start, alertOf, deliveries } = await notifyBench(t, [
    { id: 'am', kind: 'alertmanager', url, resend: '1s', match: { site: 'plant-*' } },
  ]);
  const { notify } = await start();
  const active = async (): Promise<readonly GettableAlert[]> =>
    (await fetch(`${url}/api/v2/alerts`)).json() as Promise<GettableAlert[]>;
  const labels = { team: 'pumps' };
  const startedAt = new Date(Date.now() - 60_000).toISOString();
  const hot = alertOf({ labels, startedAt, value: 91.5, threshold: 80 });
  const other = alertOf({ device: 'pump-8', labels, startedAt });
  await hot.fire();
  await other.fire();
  await alertOf({ site: 'elsewhere' }).fire();
  notify();
  await until(async () => (await active()).length === 2, soon('two alerts'));
  const [first] = (await active()).filter(({ labels: { device } }) => device === 'pump-7');
  assert.deepEqual(first?.labels, {
    ...{ alertname: 'hot', severity: 'info', kind: 'threshold', site: 'plant-1', device: 'pump-7' },
    ...{ metric: 'weir-test', team: 'pumps' },
  });
  assert.equal(first.annotations.value, '91.5');
  assert.equal(first.annotations.alert, hot.id);
  assert.equal(first.startsAt, startedAt);
  await until(
    async () => (await active()).every(({ endsAt }) => Date.parse(endsAt) > Date.parse(first.endsAt)),
    soon('a later end, because it was told again', 30_000),
  );
  await hot.resolve();
  notify();
  await until(async () => (await active()).length === 1, soon('the resolved one to go'));
  await until(async () => (await deliveries()).at(-1) === 'am resolved sent', soon('its settlement'));
  assert.equal((await active()).length, 1, 'the other one goes on');
});

test('mail arrives once, readable, in one thread; a certificate that nobody vouches for is refused', async (t) => {
  const mails: string[] = [];
  let refusals = 1;
  const server = new SMTPServer({
    authOptional: false,
    allowInsecureAuth: true,
    onAuth: ({ username, password }, _session, done) =>
      username === 'weir' && password === 'from-a-file'
        ? done(null, { user: username })
        : done(new Error('wrong password')),
    onData(stream, _session, done) {
      let text = '';
      stream.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      stream.on('end', () => {
        if (refusals-- > 0) return done(Object.assign(new Error('try later'), { responseCode: 451 }));
        mails.push(text);
        done();
      });
    },
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => new Promise<void>((resolve) => server.close(resolve)));
  const { port } = server.server.address() as AddressInfo;
  const { folder } = await isolated(t, {});
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, 'from-a-file\n');
  const smtp = { kind: 'smtp', host: '127.0.0.1', port, username: 'weir', passwordFile };
  const from = 'Weir <weir@plant.example>';
  const { start, alertOf, deliveries } = await notifyBench(t, [
    { ...smtp, id: 'mail', tls: 'none', from, to: ['ops@plant.example', 'ada@plant.example'] },
    { ...smtp, id: 'safe', tls: 'starttls', from, to: 'ops@plant.example' },
  ]);
  const { notify } = await start();
  const alert = alertOf({ value: 91.5, threshold: 80, metric: 'temperature', severity: 'critical' });
  await alert.fire();
  notify();
  await until(() => mails.length === 1, soon('the mail'));
  await alert.resolve();
  notify();
  await until(() => mails.length === 2, soon('the end'));
  const header = (mail: string | undefined, name: string): string =>
    new RegExp(`^${name}: (.*(?:\\r\\n[ \\t].*)*)`, 'im').exec(mail ?? '')?.[1]?.replace(/\s+/g, ' ') ?? '';
  assert.equal(
    header(mails[0], 'Subject'),
    '[FIRING] critical: hot on plant-1/pump-7 temperature = 91.5 (limit 80)',
  );
  assert.equal(header(mails[0], 'To'), 'ops@plant.example, ada@plant.example');
  assert.match(mails[0] ?? '', new RegExp(alert.id));
  assert.equal(header(mails[1], 'References'), header(mails[0], 'Message-ID'));
  assert.match(header(mails[0], 'Message-ID'), /@plant\.example>$/);
  await until(
    async () =>
      (await deliveries()).filter((line) => line.startsWith('mail') && line.endsWith('sent')).length === 2,
    soon('both settled'),
  );
  assert.ok((await deliveries()).includes('safe firing queued'), 'not sent over a line that is not safe');
});

test('alerts are published on the MQTT topic of their site, severity and rule', async (t) => {
  const space = await isolated(t);
  const secret = 'secret of the notifier';
  const credentials = join(space.folder, 'devices.jsonl');
  const hash = await hashSecret(secret, GENERATED_SECRET_COST);
  const line = (device: string, more: object) =>
    JSON.stringify({ device, site: 'weir', hash, publish: [], subscribe: [], ...more });
  writeFileSync(
    credentials,
    `${line('weir-alerts', { publish: ['alerts/v1/#'] })}\n${line('screen', { subscribe: ['alerts/v1/#'] })}\n`,
  );
  const edge = await spawnApp(t, 'edge', { ...space.env, WEIR_EDGE__CREDENTIALS_FILE: credentials });
  const url = `mqtt://127.0.0.1:${PORTS.mqtt + Number(new URL(edge.url).port) - PORTS.edgeHttp}`;
  const screen = await openClient({ url, clientId: 'screen', username: 'screen', password: secret });
  atEnd(t, () => screen.close());
  const seen: { topic: string; body: { id: string; alerts: { device: string }[] } }[] = [];
  await screen.subscribe('alerts/v1/#', (topic, payload) => {
    seen.push({ topic, body: JSON.parse(payload.toString()) });
  });
  const { start, alertOf } = await notifyBench(t, [
    { id: 'screen', kind: 'mqtt', url, username: 'weir-alerts', password: secret, timeout: '3s' },
  ]);
  const { notify } = await start();
  const alert = alertOf();
  await alert.fire();
  notify();
  await until(() => seen.length === 1, soon('the message'));
  // The broker goes and comes back: the notifier connects anew.
  await edge.kill('SIGKILL');
  await alert.resolve();
  notify();
  await edge.restart();
  const again = await openClient({ url, clientId: 'screen', username: 'screen', password: secret });
  atEnd(t, () => again.close());
  await again.subscribe('alerts/v1/#', (topic, payload) => {
    seen.push({ topic, body: JSON.parse(payload.toString()) });
  });
  const restarted = alertOf({ device: 'after-the-restart', severity: 'critical' });
  await restarted.fire();
  notify();
  await until(
    () => seen.some(({ topic }) => topic === 'alerts/v1/plant-1/critical/hot'),
    soon('the next one', 40_000),
  );
  assert.equal(seen[0]?.topic, 'alerts/v1/plant-1/info/hot');
  assert.equal(seen[0]?.body.id, `${alert.id}/firing`);
});
