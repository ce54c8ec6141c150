import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger } from '@weir/observe';
import {
  decodeEnvelope,
  encodeEnvelope,
  envelopePrefix,
  forceLine,
  joinLines,
  readingsOf,
} from '@weir/reading';
import { atEnd, isolated, type Scope } from '@weir/testkit';
import { LEVELS } from '@weir/topology';
import { lateIdentity } from '@weir/windows';
import {
  alertsAt,
  areCounted,
  claimPartition,
  type Database,
  foldedTo,
  migrate,
  type OpenPartition,
  openDatabase,
  PartitionWriter,
  roundedReadings,
  windowsAt,
} from './index.ts';

const MIGRATIONS = join(import.meta.dirname, '../../../infra/migrations');
const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const OPTIONS = {
  outOfOrdernessMs: 2_000,
  allowedLatenessMs: 60_000,
  idleTimeoutMs: 1_000,
  dedupHorizonMs: 120_000,
  dedupCount: 256,
};
const T0 = 1_700_000_000_000;
const TOPIC = 'readings';

/** One partition's log and the database that follows from it. */
class Fold {
  readonly database: Database;
  private readonly writer: PartitionWriter;
  private owned: OpenPartition | undefined;
  private readonly lines: string[] = [];
  private readonly options: typeof OPTIONS;

  private constructor(database: Database, options: typeof OPTIONS, fromArchive: boolean) {
    this.database = database;
    this.options = options;
    const replaysFrom = fromArchive ? { replaysFrom: () => 0n } : {};
    this.writer = new PartitionWriter({ database, topic: TOPIC, parts: [], ...replaysFrom });
  }

  static async open(scope: Scope, options = OPTIONS, fromArchive = false): Promise<Fold> {
    const space = await isolated(scope, { timescale: true });
    await migrate(space.timescaleUrl, MIGRATIONS);
    const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 2 });
    atEnd(scope, () => database.close());
    const fold = new Fold(database, options, fromArchive);
    await fold.restart();
    return fold;
  }

  /** Starts again from what is committed. */
  async restart(): Promise<void> {
    const claim = await claimPartition(this.database, TOPIC, 0, 'test');
    const { owned } = await this.writer.open(0, claim, this.options, () => true);
    this.owned = owned;
    const { nextOffset, replayOffset } = claim.position;
    for (let offset = replayOffset; offset < nextOffset; offset++)
      owned.state.apply(offset, joinLines([this.lines[Number(offset)] as string]), 0);
  }

  fold(...lines: readonly string[]): void {
    for (const line of lines) {
      const { state } = this.owned as OpenPartition;
      const offset = state.nextOffset;
      this.lines[Number(offset)] = line;
      state.apply(offset, joinLines([line]), 0);
    }
  }

  /** Writes everything, then the open windows, as when the device is silent; answers the counts. */
  async commit() {
    const owned = this.owned as OpenPartition;
    await this.writer.prepare([owned]);
    await this.writer.prepare([owned]); // as after a database that was away
    const handout = this.writer.collect(owned, 0);
    await this.writer.write([handout]);
    await this.writer.write([this.writer.collect(owned, 1e9)]);
    return handout.rows.counts;
  }

  /** Every row of every level, as text. */
  async rows(): Promise<string[]> {
    const all: string[] = [];
    for (const { table } of LEVELS) {
      const rows = await this.database.query('reading rows', `SELECT * FROM ${table} ORDER BY series_id, ts`);
      for (const row of rows) all.push(`${table} ${JSON.stringify(row)}`);
    }
    return all;
  }

  async counted(): Promise<number> {
    const [row] = await this.database.query<{ n: number }>(
      'counting',
      'SELECT sum(count)::int AS n FROM windows_1h',
    );
    return row?.n ?? 0;
  }
}

const prefix = envelopePrefix({ edge: 'e/s', site: 'here', device: 'd', via: 'mqtt' });
const line = (n: number, ts: number, value: number, seq: number | null = n): string =>
  encodeEnvelope(
    prefix,
    { n, at: T0 },
    Buffer.from(JSON.stringify({ ts, ...(seq === null ? {} : { seq }), value })),
  )
    .toString('utf8')
    .trimEnd();
const forced = (text: string, offset: number): string =>
  forceLine(text, { offset: String(offset), readings: [0], task: 'test' });

test('a replayed reading is counted once, whatever is restarted and however often it comes', async (t) => {
  const fold = await Fold.open(t);
  const live = line(1, T0 + 1_000_000, 1);
  const late = [line(2, T0, 7), line(3, T0 + 100, 9, null), line(4, T0 + 700_000, 3)];
  fold.fold(live, ...late);
  assert.equal((await fold.commit()).late, 3);
  assert.equal(await fold.counted(), 1);

  const replays = late.map((text, i) => forced(text, i + 1));
  fold.fold(...replays, replays[0] as string);
  await fold.restart(); // nothing of it was committed
  fold.fold(...replays, replays[0] as string);
  const first = await fold.commit();
  assert.deepEqual([first.replayed, first.replayedAgain, first.stored], [3, 1, 0]);
  assert.equal(await fold.counted(), 4);
  const after = await fold.rows();

  fold.fold(...replays.toReversed());
  const second = await fold.commit();
  assert.deepEqual([second.replayed, second.replayedAgain], [0, 3]);
  await fold.restart();
  fold.fold(...replays);
  assert.equal((await fold.commit()).replayedAgain, 3);
  assert.deepEqual(await fold.rows(), after, 'every column of every row, revision too');

  const envelope = decodeEnvelope(late[1] as string);
  const [reading] = readingsOf(envelope);
  assert.ok(reading !== undefined);
  const identity = lateIdentity(envelope, reading, 0);
  const other = lateIdentity(envelope, reading, 1);
  assert.deepEqual(await areCounted(fold.database, [other, identity]), new Map([[identity, 5n]]));
});

test('a fold of the archive counts a replay only when it has buried the reading itself', async (t) => {
  const live = line(1, T0 + 1_000_000, 1);
  const late = line(2, T0 + 800_000, 7);
  const log = [live, late, forced(late, 1), line(3, T0 + 1_001_000, 1), forced(late, 1)];

  const strict = await Fold.open(t, OPTIONS, true);
  strict.fold(...log.slice(0, 2));
  await strict.commit();
  await strict.restart();
  strict.fold(...log.slice(2));
  assert.deepEqual(
    await strict.commit().then(({ replayed, replayedAgain }) => [replayed, replayedAgain]),
    [1, 1],
  );
  assert.equal(await strict.counted(), 3);

  // Had it been patient, the reading would have counted at once: its replay must not count it again.
  const patient = await Fold.open(t, { ...OPTIONS, allowedLatenessMs: 3_600_000 }, true);
  patient.fold(...log);
  assert.deepEqual(
    await patient.commit().then(({ replayed, replayedAgain }) => [replayed, replayedAgain]),
    [0, 2],
  );
  assert.equal(await patient.counted(), 3);
});

test('a reading that is older than the rows of 1 s goes into those of 10 s and above', async (t) => {
  const fold = await Fold.open(t);
  const { database } = fold;
  const old = [line(1, T0, 1), line(2, T0 + 1_000, 2), line(3, T0 + 5_000, 3)];
  fold.fold(...old, line(4, T0 + 7_200_000, 4), line(5, T0 + 2_000, 40));
  assert.equal((await fold.commit()).late, 1);
  await database.query('dropping rows', `DELETE FROM windows_1s WHERE ts < to_timestamp($1)`, [
    T0 / 1_000 + 3_600,
  ]);
  await database.query(
    'recording it',
    `INSERT INTO retention (table_name, expired_before, changed_at) VALUES ('windows_1s', to_timestamp($1), now())`,
    [T0 / 1_000 + 3_600],
  );
  fold.fold(forced(line(5, T0 + 2_000, 40), 4));
  assert.equal((await fold.commit()).replayed, 1);
  const windows = await windowsAt(database, 'here', 'd', ['value'], T0 + 2_000);
  assert.deepEqual(
    windows.map(({ level, count, mean, max, revision, expired }) => [
      level,
      count,
      mean,
      max,
      revision,
      expired,
    ]),
    [
      ['1s', null, null, null, null, true],
      ['10s', 4, 11.5, 40, 1, false],
      ['1m', 4, 11.5, 40, 1, false],
      ['5m', 4, 11.5, 40, 1, false],
      ['15m', 4, 11.5, 40, 1, false],
      ['1h', 4, 11.5, 40, 1, false],
    ],
  );
  const [rounded, ...more] = await roundedReadings(database);
  assert.deepEqual([rounded?.ts, rounded?.finest, more.length], [T0 + 2_000, 1, 0]);
  assert.equal(await foldedTo(database, TOPIC, 0), 6n);
  assert.equal(await foldedTo(database, TOPIC, 1), null);
});

test('the alerts of a moment are those that were open then', async (t) => {
  const { database } = await Fold.open(t);
  const add = (rule: string, from: number, to: number | null): Promise<unknown> =>
    database.query(
      'adding an alert',
      `INSERT INTO alerts (id, rule, site, device, metric, severity, state, started_at, fired_at, resolved_at, updated_at)
       VALUES (gen_random_uuid(), $1, 'here', 'd', 'value', 'warning', $2, to_timestamp($3), to_timestamp($3),
               to_timestamp($4::float8), now())`,
      [
        rule,
        to === null ? 'firing' : 'resolved',
        (T0 + from) / 1_000,
        to === null ? null : (T0 + to) / 1_000,
      ],
    );
  await add('over', 0, 1_000);
  await add('ended with it', 0, 2_000);
  await add('still open', 1_500, null);
  await add('later', 2_001, null);
  const found = await alertsAt(database, 'here', 'd', T0 + 2_000);
  assert.deepEqual(
    found.map(({ rule, state }) => [rule, state]),
    [
      ['ended with it', 'resolved'],
      ['still open', 'firing'],
    ],
  );
  assert.deepEqual(await alertsAt(database, 'there', 'd', T0 + 2_000), []);
});
