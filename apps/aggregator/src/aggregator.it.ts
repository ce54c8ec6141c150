import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openAdmin, openConsumer } from '@weir/connect-kafka';
import { openDatabase } from '@weir/connect-timescale';
import { atEnd, freeOffset, type Scope, spawnApp, until } from '@weir/testkit';
import { Bench, log, metric, type Publish, random } from './testing.ts';

const OPTIONS = { outOfOrdernessMs: 2_000, allowedLatenessMs: 60_000 };
const SETTINGS = {
  WEIR_AGGREGATOR__OUT_OF_ORDERNESS: '2s',
  WEIR_AGGREGATOR__ALLOWED_LATENESS: '60s',
  WEIR_AGGREGATOR__IDLE_TIMEOUT: '2s',
  WEIR_AGGREGATOR__COMMIT_INTERVAL: '150ms',
  WEIR_KAFKA__SESSION_TIMEOUT: '6s',
};
/** One second of a fleet: single values, several metrics, readings out of order, late, repeated and flagged. */
function second(
  bench: Bench,
  draw: () => number,
  t: number,
  devices: number,
): { device: string; line: string }[] {
  const out: { device: string; line: string }[] = [];
  const say = (publish: Publish): void => {
    out.push({ device: publish.device, line: bench.line(publish) });
  };
  for (let i = 0; i < devices; i++) {
    const device = `device-${i}`;
    const at = t + i;
    const ts = t + Math.floor(draw() * 1_000) - (draw() < 0.1 ? 3_000 : 0) - (draw() < 0.02 ? 40_000 : 0);
    const value = Math.round((20 + 10 * draw()) * 100) / 100;
    if (i % 5 === 4) {
      say({
        device,
        at,
        mid: 7,
        payload: `{"ts":${ts},"seq":${t + i},"values":{"a":${value},"b":${-value},"c":0}}`,
      });
    } else if (i % 5 === 3) {
      const publish = {
        device,
        metric: 'bare',
        at,
        mid: 1 + (t % 60_000),
        payload: `{"ts":${ts},"value":${value}}`,
      };
      say(publish);
      if (draw() < 0.1) say({ ...publish, at: at + 30, dup: true });
    } else {
      const publish = {
        device,
        at,
        mid: 9,
        payload: `{"ts":${ts},"seq":${t + i},"value":${value},"unit":"C"}`,
      };
      say(publish);
      if (draw() < 0.05) say({ ...publish, at: at + 40 });
      if (draw() < 0.05) out.push(out.at(-1) as { device: string; line: string });
    }
    if (draw() < 0.01) say({ device, at, payload: `{"ts":${t - 90_000},"seq":${t + i + 1},"value":1}` });
  }
  return out;
}

test('killed again and again, the windows equal the recomputation at every level', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const draw = random(1);
  const app = await spawnApp(t, 'aggregator', { ...bench.space.env, ...SETTINGS });
  const start = Math.floor(Date.now() / 1_000) * 1_000 - 300_000;
  let kills = 0;
  for (let i = 0; i < 240; i++) {
    await bench.send(second(bench, draw, start + i * 1_000, 40));
    if (i % 40 === 25) {
      await until(async () => [...(await bench.offsets()).values()].some(({ next }) => next > BigInt(i)), {
        deadlineMs: 30_000,
        what: 'some commits before the kill',
      });
      await app.kill('SIGKILL');
      kills++;
      await bench.send(second(bench, draw, start + i * 1_000 + 500, 40));
      await app.restart();
    }
  }
  await bench.folded();
  const { rows, late, duplicates } = await bench.assertExact(OPTIONS);
  assert.ok(
    kills >= 5 && rows > 10_000 && late > 50 && duplicates > 50,
    JSON.stringify({ kills, rows, late, duplicates }),
  );
  t.diagnostic(`${kills} kills, ${rows} rows, ${late} late, ${duplicates} duplicates`);

  // SIGTERM drains and exits 0; a new start changes nothing.
  assert.deepEqual(await app.stop(), { code: 0, signal: null });
  await app.restart();
  await bench.send([
    { device: 'device-0', line: bench.line({ device: 'device-0', at: Date.now(), payload: '1.5' }) },
  ]);
  await bench.folded();
  await bench.assertExact(OPTIONS);
});

test('an owner that was stopped past its session writes nothing when it wakes', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const draw = random(2);
  // A long interval: the sleeper wakes with readings that it folded and did not commit.
  const env = { ...bench.space.env, ...SETTINGS, WEIR_AGGREGATOR__COMMIT_INTERVAL: '3s' };
  const old = await spawnApp(t, 'aggregator', env);
  const start = Math.floor(Date.now() / 1_000) * 1_000 - 200_000;
  let at = start;
  const more = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds; i++, at += 1_000) await bench.send(second(bench, draw, at, 30));
  };
  await more(20);
  await bench.folded();
  const before = await bench.offsets();
  await more(20);
  await until(
    async () => {
      if (metric(await old.metrics(), 'weir_buffer_used_items') > 0) return true;
      await more(1); // a busy machine may have come to look right behind a commit
      return false;
    },
    { deadlineMs: 30_000, what: 'readings folded but not committed', everyMs: 5 },
  );
  await old.kill('SIGSTOP');
  const offset = String(await freeOffset(t));
  const heir = await spawnApp(t, 'aggregator', {
    ...env,
    WEIR_PORTS__OFFSET: offset,
    WEIR_AGGREGATOR__COMMIT_INTERVAL: '200ms',
  });
  await bench.folded();
  const taken = await bench.offsets();
  for (const [partition, { epoch }] of taken)
    assert.ok(epoch > (before.get(partition)?.epoch ?? 0n), `partition ${partition}`);
  await more(20);
  await bench.folded();
  await old.kill('SIGCONT');
  await until(async () => metric(await old.metrics(), 'weir_aggregator_fenced_total') > 0, {
    deadlineMs: 20_000,
    what: 'the old owner to be refused',
  });
  await more(20);
  await bench.folded();
  await bench.assertExact(OPTIONS);
  // Both are members now, and neither is stuck.
  await until(
    async () =>
      metric(await old.metrics(), 'weir_aggregator_partitions') > 0 &&
      metric(await heir.metrics(), 'weir_aggregator_partitions') > 0,
    {
      deadlineMs: 30_000,
      what: 'both to own partitions',
    },
  );
  await more(5);
  await bench.folded();
  await bench.assertExact(OPTIONS);
});

test('late readings and bad lines become dead letters before their offset is stored', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const app = await spawnApp(t, 'aggregator', { ...bench.space.env, ...SETTINGS });
  const device = 'device-1';
  const now = Math.floor(Date.now() / 1_000) * 1_000;
  const good = bench.line({ device, at: now, payload: `{"ts":${now},"seq":1,"value":1}` });
  const partly = bench.line({
    device,
    at: now,
    payload: `[{"ts":${now},"seq":2,"value":2},{"ts":${now - 120_000},"seq":3,"value":3}]`,
  });
  const lines = [good, 'not json', partly, '{"v":9}'];
  await bench.send(
    lines.map((line) => ({ device, line })),
    4,
  );
  await bench.folded();
  const letters = await readAll(t, bench, 3);
  const summary = letters.map(({ value, headers }) => [
    value.toString(),
    headers['x-dlq-reason'],
    headers['x-dlq-readings'],
    headers['__dlq.errors.offset'],
    headers['x-dlq-origin-system'],
  ]);
  assert.deepEqual(
    summary.sort(),
    [
      ['not json', 'decode', undefined, '0', 'kafka'],
      [partly, 'late', '1', '0', 'kafka'],
      ['{"v":9}', 'decode', undefined, '0', 'kafka'],
    ].sort(),
  );
  const text = await app.metrics();
  const ledger = (outcome: string) =>
    metric(text, 'weir_ledger_readings_total', { hop: 'aggregator', outcome });
  assert.deepEqual([ledger('stored'), ledger('duplicate'), ledger('dead_lettered')], [2, 0, 3]);
  assert.equal(metric(text, 'weir_window_late_total', { disposition: 'dead_letter' }), 1);
  assert.ok(metric(text, 'weir_end_to_end_seconds_count', { stage: 'windows' }) >= 1);
});

test('with the database away the fold stops at its limit, and everything is written when it is back', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const draw = random(3);
  const limit = 2_000;
  const env = { ...bench.space.env, ...SETTINGS, WEIR_AGGREGATOR__MAX_UNCOMMITTED: String(limit) };
  const app = await spawnApp(t, 'aggregator', env);
  const start = Math.floor(Date.now() / 1_000) * 1_000 - 200_000;
  for (let i = 0; i < 5; i++) await bench.send(second(bench, draw, start + i * 1_000, 50));
  await bench.folded();
  const name = new URL(bench.space.timescaleUrl).pathname.slice(1);
  // From another database: a database cannot close its own door.
  const outside = openDatabase({ url: bench.space.stack.env.WEIR_TIMESCALE__URL ?? '', log, poolSize: 1 });
  atEnd(t, () => outside.close());
  const away = async (closed: boolean): Promise<void> => {
    await outside.query(
      'closing the door',
      `ALTER DATABASE ${name} WITH ALLOW_CONNECTIONS ${String(!closed)}`,
    );
    if (!closed) return;
    await outside.query(
      'cutting the aggregator',
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name = 'weir-aggregator'`,
      [name],
    );
  };
  await away(true);
  for (let i = 5; i < 105; i++) await bench.send(second(bench, draw, start + i * 1_000, 50));
  await until(async () => metric(await app.metrics(), 'weir_backpressure_state') === 2, {
    deadlineMs: 20_000,
    what: 'the fold to wait',
  });
  // Longer than a session: the group keeps the member, because heartbeats go on.
  await delay(8_000);
  const text = await app.metrics();
  assert.ok(
    metric(text, 'weir_buffer_used_items') <= limit + 200,
    `${metric(text, 'weir_buffer_used_items')} readings`,
  );
  const owned = app.logs.filter((one) => one.includes('claimed a partition')).length;
  assert.equal((await fetch(`${app.url}/readyz`)).status, 503);
  await away(false);
  await bench.folded();
  await bench.assertExact(OPTIONS);
  assert.equal(
    app.logs.filter((one) => one.includes('claimed a partition')).length,
    owned,
    'no partition moved',
  );
});

test('a readings topic that is made anew under a running aggregator is folded from its start', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const draw = random(4);
  const app = await spawnApp(t, 'aggregator', { ...bench.space.env, ...SETTINGS });
  const start = Math.floor(Date.now() / 1_000) * 1_000 - 200_000;
  for (let i = 0; i < 30; i++) await bench.send(second(bench, draw, start + i * 1_000, 40), 5);
  await bench.folded();
  const admin = openAdmin({ brokers: bench.space.brokers, clientId: 'test', log });
  atEnd(t, () => admin.close());
  await admin.deleteTopics([bench.topology.readings.name]);
  await until(async () => !(await admin.listTopics()).includes(bench.topology.readings.name), {
    deadlineMs: 30_000,
    what: 'the topic to go',
  });
  await until(async () => (await fetch(`${app.url}/readyz`)).status === 503, {
    deadlineMs: 20_000,
    what: 'the aggregator to say that it has no partition',
  });
  await admin.applyTopics([bench.topology.readings]);
  for (let i = 30; i < 35; i++) await bench.send(second(bench, draw, start + i * 1_000, 40), 50);
  await bench.folded();
  await bench.assertExact(OPTIONS);
  await until(async () => (await fetch(`${app.url}/readyz`)).status === 200, {
    deadlineMs: 20_000,
    what: 'the aggregator to be ready again',
  });
});

async function readAll(t: Scope, bench: Bench, count: number) {
  const found: { value: Buffer; headers: Readonly<Record<string, string>> }[] = [];
  const consumer = openConsumer({
    brokers: bench.space.brokers,
    clientId: 'test',
    log,
    groupId: `${bench.space.namespace}.letters`,
    topic: bench.topology.deadLetters.name,
    sessionTimeoutMs: 6_000,
    handler: {
      assigned: async () => null,
      batch: async (_partition, records) => {
        found.push(...records);
      },
      revoked: async () => undefined,
    },
    onFatal: (error) => {
      throw error;
    },
  });
  atEnd(t, () => consumer.stop());
  await consumer.start();
  await until(() => found.length >= count, { deadlineMs: 20_000, what: `${count} dead letters` });
  return found;
}
