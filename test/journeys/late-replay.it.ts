import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Replay } from '@weir/api';
import { openProducer } from '@weir/connect-kafka';
import { seeded } from '@weir/load';
import { createLogger } from '@weir/observe';
import { atEnd, type Isolated, spawnApp, until } from '@weir/testkit';
import { kafkaTopology } from '@weir/topology';
import pg from 'pg';
import { auditArchive, auditWindows } from '../support/audit.ts';
import { startPipeline, weir } from '../support/pipeline.ts';
import { assertWindows, type KnownReading } from '../support/recompute.ts';
import { indexed } from '../support/replays.ts';
import { deadLetters, kafkaLines, readTopic, type StoredWindow, storedWindows } from '../support/sinks.ts';

const DEVICES = 1_000;
const FAST_MS = 600_000;
const LATENESS = { WEIR_AGGREGATOR__ALLOWED_LATENESS: '60s', WEIR_EDGE__MAX_FUTURE: '15m' };
const START = Math.floor(Date.now() / 1_000) * 1_000 - 300_000;
const SITE = 'plant';
const log = createLogger({ app: 'test', level: 'error', format: 'json' });

const nameOf = (index: number): string => `dev-${String(index).padStart(4, '0')}`;

/** The value of a counter of the aggregator, all label sets that fit added up. */
function counter(text: string, outcome: string, reason: string): number {
  const lines = text
    .split('\n')
    .filter((line) => line.startsWith('weir_ledger_readings_total{'))
    .filter((line) => line.includes(`outcome="${outcome}"`) && line.includes(`reason="${reason}"`));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const revisions = async (space: Isolated): Promise<string[]> =>
  (await storedWindows(space)).map((row: StoredWindow) => JSON.stringify(row)).sort();

test('one fast clock among 1,000 makes nobody late; what is too late is brought back, once', {
  timeout: 600_000,
}, async (t) => {
  const { space, apps, edgeUrl } = await startPipeline(t, { env: LATENESS });
  const random = seeded(20_261_122);
  const known: KnownReading[] = [];
  const seqs = new Map<string, number>();
  const reading = (device: string, ts: number): KnownReading => {
    const seq = seqs.get(device) ?? 0;
    seqs.set(device, seq + 1);
    return { device, metric: 'value', ts, seq, value: Math.round((random() * 200 - 50) * 1_000) / 1_000 };
  };
  const publish = async (device: string, readings: readonly KnownReading[]): Promise<void> => {
    const body = JSON.stringify(readings.map(({ ts, seq, value }) => ({ ts, seq, value })));
    const response = await fetch(`${edgeUrl}/ingest/v1/${SITE}/${device}`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    });
    assert.equal(response.status, 202, await response.text());
  };
  /** One message of every device, many at a time. */
  const round = async (make: (index: number) => readonly KnownReading[]): Promise<void> => {
    const indexes = Array.from({ length: DEVICES }, (_, i) => i);
    const work = async (): Promise<void> => {
      for (let i = indexes.pop(); i !== undefined; i = indexes.pop()) {
        const readings = make(i);
        known.push(...readings);
        if (readings.length > 0) await publish(nameOf(i), readings);
      }
    };
    await Promise.all(Array.from({ length: 16 }, work));
  };
  const clock = (index: number): number => (index === 0 ? FAST_MS : 0);

  // Device 0 is 10 minutes fast, and always the first to be heard.
  for (let second = 0; second < 200; second += 20) {
    const at = START + second * 1_000;
    known.push(reading(nameOf(0), at + FAST_MS));
    await publish(nameOf(0), known.slice(-1));
    await round((i) => [
      reading(nameOf(i), at + clock(i)),
      reading(nameOf(i), at + clock(i) + 9_000 + (i % 900)),
    ]);
  }
  await auditWindows(space, known, 60_000);
  assert.equal(counter(await apps.aggregator.metrics(), 'dead_lettered', 'late'), 0);

  // Every tenth device sends what it kept for too long: alone, beside a good reading, and in the middle of a pane.
  const tooLate: KnownReading[] = [];
  const good: KnownReading[] = [];
  await round((i) => {
    if (i % 10 !== 3) return [];
    const late = [
      reading(nameOf(i), START + 3_000),
      reading(nameOf(i), START + 9_100),
      reading(nameOf(i), START - 7_000),
    ];
    const now = reading(nameOf(i), START + 200_000);
    tooLate.push(...late);
    good.push(now);
    return [late[0] as KnownReading, now, ...late.slice(1)];
  });
  const total = known.length;
  assert.equal(tooLate.length, 300);
  await until(
    async () => counter(await apps.aggregator.metrics(), 'dead_lettered', 'late') >= tooLate.length,
    {
      deadlineMs: 30_000,
      what: `${tooLate.length} late readings`,
    },
  );
  assert.equal((await deadLetters(space)).length, 100);
  const before = await storedWindows(space);
  assert.equal(
    before.filter(({ level }) => level === '1s').reduce((sum, { count }) => sum + count, 0),
    total - 300,
  );

  const index = await spawnApp(t, 'dead-letters', space.env);
  await spawnApp(t, 'gateway', space.env);
  await indexed(space, 100);
  const dry: Replay = JSON.parse(
    await weir(space.env, 'dlq', 'replay', '--reason', 'late', '--dry-run', '--json'),
  );
  assert.deepEqual(
    [
      dry.plan?.letters,
      dry.plan?.send,
      dry.plan?.readings,
      dry.plan?.skip,
      dry.plan?.devices,
      dry.plan?.samples.length,
    ],
    [100, 100, 300, 0, 100, 5],
  );
  assert.deepEqual([dry.state, dry.sent], ['planned', 0]);
  await assert.rejects(
    weir(space.env, 'dlq', 'replay', '--reason', 'late', '--why', 'test'),
    /Say --yes to do it/,
  );
  await assert.rejects(weir(space.env, 'dlq', 'replay', '--reason', 'late', '--yes'), /Say --why/);
  const replay = ['dlq', 'replay', '--reason', 'late', '--why', 'a test', '--yes', '--json'];
  const one: Replay = JSON.parse(await weir(space.env, ...replay, '--device', nameOf(3)));
  assert.deepEqual([one.plan?.letters, one.sent, one.plan?.readings], [1, 1, 3]);
  // Killed in the middle, it goes on by itself; the command that began it is told so, and waits.
  const slow = weir(space.env, ...replay, '--rate', '20');
  await until(async () => counter(await apps.aggregator.metrics(), 'replayed', '') >= 60, {
    deadlineMs: 30_000,
    what: 'some letters to be sent',
  });
  await index.kill('SIGKILL');
  await index.restart();
  const rest: Replay = JSON.parse(await slow);
  assert.deepEqual([rest.state, rest.plan?.letters, rest.plan?.skip, rest.sent], ['done', 100, 1, 99]);
  // Every level equals a recomputation that shares no code with Weir and knows no lateness.
  const windows = await auditWindows(space, known, 60_000);
  const after = await revisions(space);
  // Rows are seen by others a moment before their writer knows that they are.
  await until(async () => counter(await apps.aggregator.metrics(), 'replayed', '') >= tooLate.length, {
    deadlineMs: 30_000,
    what: 'the replayed readings to be counted',
  });
  assert.equal(counter(await apps.aggregator.metrics(), 'replayed', ''), tooLate.length);

  // The same once more: what did not come back is left out.
  const again: Replay = JSON.parse(await weir(space.env, ...replay));
  assert.deepEqual([again.plan?.skip, again.sent], [100, 0]);
  // And as if it had been killed before it knew: the very records again, behind live readings of every device.
  const topic = kafkaTopology(space.namespace).readings.name;
  const records: { partition: number; value: Buffer }[] = [];
  await readTopic(space, topic, ({ partition, value, headers }) => {
    if (headers['x-dlq-replay-task-id'] !== undefined) records.push({ partition, value });
  });
  assert.ok(records.length >= 100, `${records.length} records`);
  const producer = openProducer({ brokers: space.brokers, clientId: 'test', log });
  atEnd(t, () => producer.close());
  await producer.send(topic, [...records, ...records.toReversed()]);
  await until(
    async () => counter(await apps.aggregator.metrics(), 'replayed', 'again') >= 3 * 2 * records.length - 3,
    { deadlineMs: 30_000, what: 'the repeated replays to be folded' },
  );
  assert.deepEqual(await revisions(space), after, 'not one bit of one row has changed');
  await apps.aggregator.kill('SIGKILL');
  await apps.aggregator.restart();
  await producer.send(topic, records);
  await until(
    async () => counter(await apps.aggregator.metrics(), 'replayed', 'again') >= 3 * records.length,
    { deadlineMs: 60_000, what: 'the replays to be folded after the restart' },
  );
  assert.deepEqual(await revisions(space), after);
  await auditArchive(space, await kafkaLines(space), 60_000);
  await weir(space.env, 'audit', '--json'); // ends with 1 when a window differs from what the archive says

  // Behind the retention: the rows of 1 s are gone, those above take the reading all the same.
  const cutoff = START + 100_000;
  const client = new pg.Client({ connectionString: space.timescaleUrl });
  await client.connect();
  atEnd(t, () => client.end());
  await client.query('DELETE FROM windows_1s WHERE ts < to_timestamp($1)', [cutoff / 1_000]);
  await client.query(
    `INSERT INTO retention (table_name, expired_before, changed_at) VALUES ('windows_1s', to_timestamp($1), now())`,
    [cutoff / 1_000],
  );
  const last = [3, 13, 23].map((i) => reading(nameOf(i), START + 4_321));
  for (const one of last) await publish(one.device, [one]);
  known.push(...last);
  await until(async () => counter(await apps.aggregator.metrics(), 'dead_lettered', 'late') >= last.length, {
    deadlineMs: 30_000,
    what: 'three more late readings',
  });
  await indexed(space, 103);
  const more: Replay = JSON.parse(await weir(space.env, ...replay));
  assert.deepEqual([more.plan?.letters, more.plan?.skip, more.sent], [103, 100, 3]);
  await until(async () => counter(await apps.aggregator.metrics(), 'replayed', '') >= last.length, {
    deadlineMs: 30_000,
    what: 'them to be brought back',
  });
  await until(
    async () => {
      const stored = (await storedWindows(space)).filter(({ level }) => level !== '1s');
      assertWindows(stored, known, 'windows above 1 s', ['1s']);
      return true;
    },
    { deadlineMs: 30_000, what: 'the open windows of silent devices', everyMs: 1_000 },
  );
  await weir(space.env, 'audit', '--json');
  t.diagnostic(`${known.length} readings, ${tooLate.length} too late, ${windows} windows`);
});
