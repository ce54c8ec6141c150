import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { addSilence, askTest, endSilence, testAnswer } from '@weir/connect-timescale';
import { until } from '@weir/testkit';
import { Webhook } from 'standardwebhooks';
import { notifyBench, type Received, receiver } from './notify.fixture.ts';

const SECRET = 'a secret of enough length'.replaceAll(' ', '-');
const hook = (url: string, more: object = {}) => ({
  id: 'ops',
  kind: 'webhook',
  url,
  secret: SECRET,
  ...more,
});
const soon = (what: string, deadlineMs = 15_000) => ({ what, deadlineMs, everyMs: 10 });

test('a webhook is told of each change once, signed, in order and at once', async (t) => {
  const { url, received } = await receiver(t);
  const { start, alertOf, deliveries } = await notifyBench(t, [hook(url)]);
  const { notify, stop } = await start();
  const alerts = Array.from({ length: 10 }, (_, n) => alertOf({ device: `d-${n}` }));
  for (const alert of alerts) {
    await alert.fire();
    notify();
    await alert.acknowledge();
    await alert.resolve();
    notify();
  }
  await until(() => received.length === 30, soon('30 messages'));
  const verifier = new Webhook(SECRET, { format: 'raw' });
  for (const { text, headers } of received) verifier.verify(text, headers as Record<string, string>);
  for (const { id } of alerts) {
    const mine = received.filter(({ body }) => body.alerts[0].id === id).map((one) => one.id);
    assert.deepEqual(mine, [`${id}/firing`, `${id}/acknowledged`, `${id}/resolved`]);
  }
  assert.equal(received[0]?.body.alerts[0].changeId, received[0]?.id);
  await until(async () => (await deliveries()).every((line) => line.endsWith(' sent')), soon('all settled'));
  await stop();
  assert.equal(received.length, 30);
});

test('a busy receiver is left alone as long as it says, a refused message is given up, the rest arrives', async (t) => {
  const { url, received, answering } = await receiver(t);
  const { start, alertOf, deliveries, database } = await notifyBench(t, [hook(url, { timeout: '2s' })]);
  answering((response, call) => {
    if (call === 1) response.writeHead(429, { 'retry-after': '2' }).end('slow down');
    else if (call === 2) response.writeHead(503).end();
    else if (call === 3)
      return; // never answers
    else response.writeHead(204).end();
  });
  const { notify } = await start();
  const first = alertOf();
  await first.fire();
  await first.resolve();
  notify();
  await until(() => received.length === 5, soon('the fifth attempt', 30_000));
  assert.ok((received[1]?.at ?? 0) - (received[0]?.at ?? 0) >= 2_000, 'Retry-After');
  assert.deepEqual(
    received.map(({ id }) => id.split('/')[1]),
    ['firing', 'firing', 'firing', 'firing', 'resolved'],
  );
  assert.equal(new Set(received.slice(0, 4).map(({ text }) => text)).size, 1, 'the same bytes each time');

  answering((response) => void response.writeHead(400).end('unknown field\nof mine'));
  const refused = alertOf({ device: 'other' });
  await refused.fire();
  notify();
  await until(async () => (await deliveries()).at(-1) === 'ops firing failed refused', soon('the refusal'));
  const [row] = await database.query<{ last_error: string; attempts: number }>(
    'reading',
    'SELECT last_error, attempts FROM alert_deliveries WHERE alert_id = $1 AND notifier = $2',
    [refused.id, 'ops'],
  );
  assert.match(row?.last_error ?? '', /telling http:\/\/127.*answered HTTP 400: unknown field of mine$/);
  assert.equal(row?.attempts, 1);
});

test('a process that dies with a message in hand leaves it to the next one, under the same id', async (t) => {
  const { url, received, answering } = await receiver(t);
  const grouped = { groupBy: ['site'], groupWait: '100ms', timeout: '1s' };
  const bench = await notifyBench(t, [hook(url, grouped)]);
  answering(() => {}); // takes it and never says so
  const first = await bench.start();
  await bench.alertOf({ device: 'a' }).fire();
  await bench.alertOf({ device: 'b' }).fire();
  first.notify();
  await until(() => received.length === 1, soon('the first message'));
  await bench.alertOf({ device: 'c' }).fire();
  // As a kill -9: nothing of what is under way is settled.
  await bench.database.query('taking over', `UPDATE maintenance SET token = token + 1 WHERE job = 'alerter'`);
  answering((response) => void response.writeHead(204).end());
  const stopped = first.stop();
  await stopped;
  await bench.start();
  const devices = ({ body }: Received): string[] =>
    body.alerts.map(({ device }: { device: string }) => device);
  await until(() => received.some((one) => devices(one).includes('c')), soon('the next message'));
  const next = received.findIndex((one) => devices(one).includes('c'));
  // The first process, too, may have tried again before it was replaced.
  const same = received.slice(0, next);
  assert.ok(same.length >= 2, 'the message again');
  assert.equal(new Set(same.map(({ text }) => text)).size, 1, 'the same message');
  assert.deepEqual(devices(received[next] as Received), ['c']);
  assert.notEqual(received[next]?.id, received[0]?.id);
});

test('a group shares a message, after its wait; other groups do not wait for it', async (t) => {
  const { url, received } = await receiver(t);
  const { start, alertOf } = await notifyBench(t, [
    hook(url, { groupBy: ['site', 'team'], groupWait: '2s' }),
  ]);
  const { notify } = await start();
  const at = Date.now();
  for (const [site, team] of [
    ['p1', 'a'],
    ['p1', 'a'],
    ['p1', 'b'],
    ['p2', 'a'],
  ] as const) {
    await alertOf({ site, labels: { team }, device: randomUUID() }).fire();
    notify();
  }
  await until(() => received.length === 3, soon('three groups'));
  assert.ok((received[0]?.at ?? 0) - at >= 2_000);
  assert.deepEqual(
    received.map(({ body }) => `${body.group.site} ${body.group.team} ${body.alerts.length}`).toSorted(),
    ['p1 a 2', 'p1 b 1', 'p2 a 1'],
  );
});

test('what is silenced is held, and told when the silence ends; what ends before is not told at all', async (t) => {
  const { url, received } = await receiver(t);
  const { start, alertOf, deliveries, database } = await notifyBench(t, [hook(url)]);
  const silence = await addSilence(database, {
    matchers: [{ name: 'device', op: '=', value: 'quiet-*' }],
    from: new Date(Date.now() - 1_000),
    to: new Date(Date.now() + 3_600_000),
    by: 'ada',
    why: 'maintenance',
  });
  const { notify } = await start();
  const [brief, lasting, loud] = ['quiet-1', 'quiet-2', 'loud'].map((device) => alertOf({ device }));
  assert.ok(brief && lasting && loud);
  for (const alert of [brief, lasting, loud]) await alert.fire();
  notify();
  await until(() => received.length === 1, soon('the loud one'));
  await brief.resolve();
  notify();
  await until(async () => {
    assert.deepEqual(await deliveries(), [
      'ops firing dropped silenced',
      'ops firing held silenced',
      'ops firing sent',
      'ops resolved dropped unannounced',
    ]);
    return true;
  }, soon('its settlement and the end of the brief one'));
  await endSilence(database, silence.id);
  await until(() => received.length === 2, soon('the one that fires on'));
  assert.equal(received[1]?.id, `${lasting.id}/firing`);
  // Silenced again: who was told of the beginning is told of the end.
  await addSilence(database, { ...silence, from: new Date(), to: new Date(Date.now() + 3_600_000) });
  await lasting.resolve();
  await until(() => received.length === 3, soon('its end'));
});

test('maintenance holds back its devices; what a site alert covers is told to nobody', async (t) => {
  const { url, received } = await receiver(t);
  const maintenance = [{ id: 'always', site: 'plant-1', device: 'pump-*', cron: '* * * * *', for: '1h' }];
  const { start, alertOf, deliveries } = await notifyBench(t, [hook(url)], { maintenance });
  const { notify } = await start();
  await alertOf().fire();
  const covered = alertOf({ device: 'covered' });
  await covered.fire(true);
  await covered.resolve(true);
  await alertOf({ device: 'free' }).fire();
  notify();
  await until(() => received.length === 1, soon('the free one'));
  assert.equal(received[0]?.body.alerts[0].device, 'free');
  // The receiver knows before the database does.
  await until(async () => {
    assert.deepEqual((await deliveries()).toSorted(), [
      'ops firing dropped suppressed',
      'ops firing held maintenance',
      'ops firing sent',
      'ops resolved dropped suppressed',
    ]);
    return true;
  }, soon('its delivery'));
});

test('an alert that nobody takes on is told again and again, until somebody does', async (t) => {
  const { url, received } = await receiver(t);
  const { start, alertOf } = await notifyBench(t, [hook(url, { repeat: '1s' })]);
  const { notify } = await start();
  const alert = alertOf();
  await alert.fire();
  notify();
  await until(() => received.length === 3, soon('two reminders', 30_000));
  await alert.acknowledge();
  notify();
  await until(() => received.some(({ id }) => id.endsWith('/acknowledged')), soon('the acknowledgement'));
  const ids = received.map(({ id }) => id.slice(alert.id.length));
  assert.deepEqual(ids.slice(0, 3), ['/firing', '/firing/1', '/firing/2']);
});

test('only what matches is told; a test alert says what came back', async (t) => {
  const { url, received, answering } = await receiver(t);
  const { start, alertOf, deliveries, database } = await notifyBench(t, [
    hook(url, { match: { severity: 'critical', rule: ['hot*', 'cold'] } }),
  ]);
  const { notify } = await start();
  await alertOf({ severity: 'warning' }).fire();
  await alertOf({ severity: 'critical', device: 'x' }).fire();
  notify();
  await until(() => received.length === 1, soon('the critical one'));
  assert.equal((await deliveries()).length, 1);
  answering((response) => void response.writeHead(401).end('who are you?'));
  for (const [notifier, ok, said] of [
    ['ops', false, /HTTP 401: who are you\?/],
    ['nobody', false, /no notifier "nobody"/],
  ] as const) {
    const id = randomUUID();
    await askTest(database, { id, notifier }, 'ada');
    const answer = await until(() => testAnswer(database, id), soon('an answer'));
    assert.equal(answer.ok, ok);
    assert.match(answer.said, said);
  }
  assert.equal(received[1]?.body.type, 'test');
});
