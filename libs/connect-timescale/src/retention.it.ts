import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createLogger } from '@weir/observe';
import { encodeEnvelope, envelopePrefix, joinLines } from '@weir/reading';
import { atEnd, isolated, until } from '@weir/testkit';
import { LEVELS, ROLLUP_LEVELS, TABLES } from '@weir/topology';
import { groupings, type WindowOptions } from '@weir/windows';
import {
  acquireLease,
  claimPartition,
  type Database,
  type ExpiredChunk,
  expireWindows,
  fenced,
  type Lease,
  migrate,
  type OpenPartition,
  openDatabase,
  openQueries,
  PartitionWriter,
  readExpiry,
  readRetention,
  rollupPart,
  windowRules,
} from './index.ts';

const MIGRATIONS = join(import.meta.dirname, '../../../infra/migrations');
const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const TOPIC = 'weir.readings.v1';
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** The start of an hour. */
const T0 = Date.parse('2026-01-10T00:00:00Z');
const OPTIONS: WindowOptions = {
  outOfOrdernessMs: 2_000,
  allowedLatenessMs: 10 * MINUTE,
  idleTimeoutMs: 10_000,
  dedupHorizonMs: 2 * MINUTE,
  dedupCount: 64,
};
const RULES = windowRules({
  '1s': HOUR,
  '10s': 2 * HOUR,
  '1m': 3 * HOUR,
  '5m': 5 * HOUR,
  '15m': 8 * HOUR,
  '1h': Number.POSITIVE_INFINITY,
});
const RETENTION = { ...OPTIONS, rules: RULES, compressAfterMs: Number.POSITIVE_INFINITY };

async function open(t: TestContext): Promise<{ url: string; database: Database }> {
  const { timescaleUrl: url } = await isolated(t, { timescale: true });
  await migrate(url, MIGRATIONS);
  const database = openDatabase({ url, log, poolSize: 4 });
  atEnd(t, () => database.close());
  return { url, database };
}

async function leased(t: TestContext, url: string, holder = 'test'): Promise<Lease> {
  const lease = await acquireLease(url, 'retention', holder);
  assert.ok(lease !== null);
  atEnd(t, () => lease.release());
  return lease;
}

interface Sent {
  readonly device: string;
  readonly metric?: string;
  readonly ts: number;
  readonly value: number;
}
let n = 0;
function line({ device, metric = 'm', ts, value }: Sent): string {
  const prefix = envelopePrefix({ edge: 'e/s', site: 'here', device, metric, via: 'http' });
  const payload = Buffer.from(JSON.stringify({ ts, seq: ++n, value }));
  return encodeEnvelope(prefix, { n, at: ts }, payload).toString('utf8').trimEnd();
}

/** What the aggregator does with one partition, without Kafka. */
class Folder {
  readonly #writer: PartitionWriter;
  readonly #database: Database;
  readonly #log: (readonly string[])[] = [];
  #owned: OpenPartition | null = null;
  late = 0;

  constructor(database: Database) {
    this.#database = database;
    const parts = [
      rollupPart({
        groupings: groupings(['fleet'], []),
        onMissing: (windows) => assert.fail(`${windows} missing`),
      }),
    ];
    this.#writer = new PartitionWriter({ database, topic: TOPIC, parts });
  }

  /** Forgets everything and begins from the rows and the log again. */
  async restart(): Promise<void> {
    const claim = await claimPartition(this.#database, TOPIC, 0, 'test');
    const { owned } = await this.#writer.open(0, claim, OPTIONS, () => true);
    for (let at = Number(claim.position.replayOffset); at < this.#log.length; at++)
      owned.state.apply(BigInt(at), joinLines(this.#log[at] as string[]), 0);
    this.#owned = owned;
  }

  /** @param idle every device counts as silent, so open windows are written */
  async fold(lines: readonly string[], idle: boolean): Promise<void> {
    if (this.#owned === null) await this.restart();
    const owned = this.#owned as OpenPartition;
    owned.state.apply(BigInt(this.#log.length), joinLines(lines), 0);
    this.#log.push(lines);
    await this.#writer.prepare([owned]);
    const handout = this.#writer.collect(owned, idle ? 1e12 : 0);
    owned.state.takeBuried();
    await this.#writer.write([handout]);
    this.late += handout.rows.counts.late;
  }
}

type Row = Record<string, unknown> & { key: string; ts: number };
async function rowsOf(database: Database, table: string): Promise<Row[]> {
  return database.query<Row>(
    'reading rows',
    `SELECT s.device || '/' || s.metric || '/' || w.ts::text AS key, (extract(epoch FROM w.ts) * 1000)::float8 AS ts,
            w.count, w.sum, w.m2, w.min, w.max, w.first, w.last, w.first_ts, w.last_ts, encode(w.sketch, 'hex') AS sketch
       FROM ${table} w JOIN series s USING (series_id) ORDER BY 1`,
  );
}

function rollupsOf(database: Database, table: string): Promise<Row[]> {
  return database.query<Row>(
    'reading roll-ups',
    `SELECT (extract(epoch FROM w.ts) * 1000)::float8 AS ts, r.metric, w.count, w.devices, w.min, w.max, w.first,
            w.last, w.first_ts, w.last_ts, w.sum, w.moment, encode(w.sketch, 'hex') AS sketch
       FROM ${table} w JOIN ${TABLES.rollups} r USING (rollup_id) ORDER BY 1, 2`,
  );
}

/** Repeatable, uniform in [0, 1). */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

for (const seed of [1, 2]) {
  test(`whatever expires, every row that is left is as without retention (seed ${seed})`, async (t) => {
    const { url, database } = await open(t);
    const { database: whole } = await open(t);
    const lease = await leased(t, url);
    const draw = random(seed);
    const expiring = new Folder(database);
    const keeping = new Folder(whole);
    const clocks = { steady: T0, sleeper: T0, rare: T0, slow: T0 - 3 * HOUR };
    const dropped: ExpiredChunk[] = [];
    for (let step = 0; step < 70; step++) {
      const lines: string[] = [];
      const say = (sent: Omit<Sent, 'value'>): void => {
        lines.push(line({ ...sent, value: Math.round(1e6 * draw()) / 997 }));
      };
      for (let i = 0; i < 12; i++) {
        clocks.steady += draw() * MINUTE;
        say({ device: 'steady', ts: Math.floor(clocks.steady) });
        if (draw() < 0.2) say({ device: 'steady', ts: Math.floor(clocks.steady - draw() * 11 * MINUTE) });
      }
      // Falls silent for hours, then goes on where it stopped: its backlog was stored on the way.
      if (step % 30 < 6) {
        for (let i = 0; i < 8; i++) {
          clocks.sleeper += draw() * 20_000;
          say({ device: 'sleeper', ts: Math.floor(clocks.sleeper) });
          say({ device: 'sleeper', metric: 'other', ts: Math.floor(clocks.sleeper - draw() * 9 * MINUTE) });
        }
      }
      // One metric always, another twice a day.
      clocks.rare = clocks.steady;
      say({ device: 'rare', ts: Math.floor(clocks.rare) });
      if (step % 40 === 3) say({ device: 'rare', metric: 'seldom', ts: Math.floor(clocks.rare) });
      // A clock that is hours behind.
      clocks.slow += draw() * 12 * MINUTE;
      say({ device: 'slow', ts: Math.floor(clocks.slow) });
      const idle = draw() < 0.3;
      await expiring.fold(lines, idle);
      await keeping.fold(lines, idle);
      if (draw() < 0.35) await expireWindows(database, lease, RETENTION, (chunk) => dropped.push(chunk));
      if (draw() < 0.35) await expiring.restart();
    }
    await expireWindows(database, lease, RETENTION, (chunk) => dropped.push(chunk));
    await expiring.restart();
    // The last word of a silent device reaches all levels.
    const last = [line({ device: 'sleeper', ts: Math.floor(clocks.sleeper), value: 1 })];
    await expiring.fold(last, true);
    await keeping.fold(last, true);

    const expiry = await readExpiry(database);
    for (const { table } of LEVELS) {
      const before = expiry.get(table)?.getTime() ?? Number.NEGATIVE_INFINITY;
      const left = (await rowsOf(database, table)).filter(({ ts }) => ts >= before);
      const wanted = (await rowsOf(whole, table)).filter(({ ts }) => ts >= before);
      assert.ok(left.length > 0, table);
      assert.deepEqual(left, wanted, table);
    }
    for (const { table } of ROLLUP_LEVELS) {
      const before = expiry.get(table)?.getTime() ?? Number.NEGATIVE_INFINITY;
      const left = (await rollupsOf(database, table)).filter(({ ts }) => ts >= before);
      assert.ok(left.length > 0, table);
      assert.deepEqual(
        left,
        (await rollupsOf(whole, table)).filter(({ ts }) => ts >= before),
        table,
      );
    }
    assert.equal(expiring.late, keeping.late);
    assert.ok(dropped.length > 10 && dropped.some(({ kept }) => kept > 0), JSON.stringify(dropped.length));
    const newest = await rowsOf(database, LEVELS[0].table);
    assert.ok(newest.length < (await rowsOf(whole, LEVELS[0].table)).length / 2, 'panes are gone');
    t.diagnostic(
      `${dropped.length} chunks dropped, ${dropped.reduce((sum, { kept }) => sum + kept, 0)} rows kept`,
    );
  });
}

test('one process holds the job; one that lost its session without noticing changes nothing', async (t) => {
  const { url, database } = await open(t);
  const first = await leased(t, url, 'first');
  assert.equal(await acquireLease(url, 'retention', 'second'), null);
  const folder = new Folder(database);
  for (let hour = 0; hour < 4; hour++)
    await folder.fold([line({ device: 'd', ts: T0 + hour * HOUR, value: 1 })], false);

  await database.query(
    'ending the session of the holder',
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'weir retention'`,
  );
  const second = await until(() => acquireLease(url, 'retention', 'second'), {
    deadlineMs: 10_000,
    what: 'the lock',
  });
  atEnd(t, () => second.release());
  assert.equal(second.token, first.token + 1n);
  await until(() => first.lost.aborted, { deadlineMs: 10_000, what: 'the first to learn of it' });
  // As if it had not learned of it: a process that was paused between its decision and the drop.
  const paused = { ...first, lost: new AbortController().signal };
  await assert.rejects(
    expireWindows(database, paused, RETENTION, () => assert.fail('nothing may be dropped')),
    { code: 'WEIR_FENCED' },
  );
  assert.equal((await rowsOf(database, LEVELS[0].table)).length, 4);
  const dropped: ExpiredChunk[] = [];
  await expireWindows(database, second, RETENTION, (chunk) => dropped.push(chunk));
  assert.ok(dropped.length > 0);
  // A successor waits for a step that is under way.
  let ended = false;
  const step = fenced(database, second, 'a step', async (transaction) => {
    await transaction.query('sleeping', 'SELECT pg_sleep(0.5)');
    ended = true;
  });
  await second.release();
  const third = await until(() => acquireLease(url, 'retention', 'third'), {
    deadlineMs: 10_000,
    what: 'the lock',
  });
  atEnd(t, () => third.release());
  assert.ok(ended, 'the successor came while a step was under way');
  await step;
});

test('a clock that jumps ahead and a fleet that is silent expire nothing; a chunk in use is left alone', async (t) => {
  const { url, database } = await open(t);
  const lease = await leased(t, url);
  const folder = new Folder(database);
  // Months ago by the clock of the database.
  for (let minute = 0; minute < 50; minute++)
    await folder.fold([line({ device: 'd', ts: T0 + minute * MINUTE, value: minute })], false);
  await expireWindows(database, lease, RETENTION, () => assert.fail('the newest hour must stay'));
  await folder.fold([line({ device: 'd', ts: T0 + 5 * HOUR, value: 1 })], false);
  const due = (await readRetention(database, RULES)).map((one) => one.due);
  assert.deepEqual(due.slice(0, 3), [1, 1, 0]);

  const writer = openDatabase({ url, log, poolSize: 1 });
  atEnd(t, () => writer.close());
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  let locked = (): void => undefined;
  const holds = new Promise<void>((resolve) => {
    locked = resolve;
  });
  const writing = writer.transaction('holding the chunk', async (transaction) => {
    await transaction.query('touching a row', `UPDATE ${LEVELS[0].table} SET count = 77 WHERE ts = $1`, [
      new Date(T0 + 49 * MINUTE),
    ]);
    locked();
    await held;
  });
  await holds;
  await assert.rejects(
    expireWindows(database, lease, RETENTION, () => undefined),
    { retry: 'transient' },
  );
  release();
  await writing;
  await expireWindows(database, lease, RETENTION, () => undefined);
  const status = await readRetention(database, RULES);
  assert.equal(status[0]?.expiredBefore?.getTime(), T0 + HOUR);
  assert.deepEqual(status.map((one) => one.due).slice(0, 3), [0, 0, 0]);
  assert.equal((await database.query('counting', `SELECT FROM ${TABLES.windowsKept}`)).length, 0);
});

test('the latest value and the finality of a silent device outlive its panes', async (t) => {
  const { url, database } = await open(t);
  const lease = await leased(t, url);
  const folder = new Folder(database);
  await folder.fold(
    [
      line({ device: 'silent', metric: 'seldom', ts: T0 + 5 * MINUTE, value: 2 }),
      line({ device: 'silent', metric: 'often', ts: T0 + 50 * MINUTE, value: 1 }),
      line({ device: 'silent', metric: 'often', ts: T0 + 59 * MINUTE, value: 3 }),
    ],
    true,
  );
  await folder.fold([line({ device: 'live', ts: T0 + 9 * HOUR, value: 4 })], true);
  const queries = openQueries(database, OPTIONS);
  const ask = async () => ({
    latest: (await queries.latest('silent')).map(({ metric, ts, value }) => [
      metric,
      ts.getTime() - T0,
      value,
    ]),
    finalTo: (await queries.seriesState('silent', undefined, 'often')).map(({ finalTo }) => finalTo - T0),
  });
  const before = await ask();
  await expireWindows(database, lease, RETENTION, () => undefined);
  assert.equal((await rowsOf(database, LEVELS[0].table)).length, 1);
  assert.deepEqual(await ask(), before);
  assert.deepEqual(before.latest, [
    ['often', 59 * MINUTE, 3],
    ['seldom', 5 * MINUTE, 2],
  ]);
});
