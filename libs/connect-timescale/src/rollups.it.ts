import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { createLogger } from '@weir/observe';
import { joinLines } from '@weir/reading';
import { isolated } from '@weir/testkit';
import { ROLLUP_LEVELS } from '@weir/topology';
import { type DerivedMetric, type Figures, groupings, PartitionState, Sketch } from '@weir/windows';
import { derivationPart, migrate, openDatabase, readRollups, rollupPart } from './index.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const space = await isolated({ after }, { timescale: true });
await migrate(space.timescaleUrl, join(import.meta.dirname, '../../../infra/migrations'));
const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 2 });
after(() => database.close());

const OPTIONS = {
  outOfOrdernessMs: 0,
  allowedLatenessMs: 0,
  idleTimeoutMs: 1_000,
  dedupHorizonMs: 1_000,
  dedupCount: 16,
};
const T0 = Math.floor(Date.now() / 3_600_000) * 3_600_000;
const stateAt = (nextOffset: bigint): PartitionState =>
  new PartitionState(OPTIONS, { nextOffset, replayOffset: nextOffset, sources: {} });

/** A device row of level 10s. */
function row(start: number, values: readonly number[]): Figures {
  const sketch = new Sketch();
  for (const value of values) sketch.add(value);
  const sum = values.reduce((a, b) => a + b, 0);
  return {
    ...{ start, count: values.length, sum, sketch },
    ...{ min: Math.min(...values), max: Math.max(...values) },
    m2: values.reduce((a, b) => a + (b - sum / values.length) ** 2, 0),
    ...{ first: values[0] as number, firstTs: start, last: values.at(-1) as number },
    lastTs: start + values.length - 1,
  };
}

async function fleetOf(metric: string): Promise<{ start: number; devices: number; sum: number | null }[]> {
  const [fleet] = groupings(['fleet'], []);
  const answer = await readRollups(database, {
    ...{ definition: fleet?.definition as string, group: 'fleet', metric, level: ROLLUP_LEVELS[0] },
    ...{ from: new Date(0), to: new Date(T0 + 3_600_000), limit: 100 },
  });
  return (answer?.windows ?? []).map((rollup) => {
    const { start, devices, sum } = rollup.figures();
    return { start, devices, sum };
  });
}

test('a transaction that is repeated or lost adds nothing twice', async () => {
  const part = rollupPart({ groupings: groupings(['fleet'], []), onMissing: () => assert.fail() });
  const [one, two] = await Promise.all([
    part.open(database, 0, stateAt(0n)),
    part.open(database, 1, stateAt(0n)),
  ]);
  const of = (id: number) => ({ id, site: 's', device: `d${id}`, metric: 'twice' });
  one.row?.(1, of(1), row(T0, [1, 2]), null);
  two.row?.(1, of(2), row(T0, [0.1]), null);
  const handouts = [one.collect(), two.collect()].map((handout) => handout ?? assert.fail());
  await assert.rejects(
    database.transaction('a test', async (transaction) => {
      await part.write(transaction, handouts);
      throw new Error('cut');
    }),
    /cut/,
  );
  assert.deepEqual(await fleetOf('twice'), []);
  await database.transaction('a test', (transaction) => part.write(transaction, handouts));
  for (const [i, handout] of handouts.entries()) [one, two][i]?.settled?.(handout);
  assert.deepEqual(await fleetOf('twice'), [{ start: T0, devices: 2, sum: 3.1 }]);

  // The row of a device is written again, by another owner of its partition.
  const heir = await part.open(database, 0, stateAt(9n));
  heir.row?.(1, of(1), row(T0, [1, 2, 4]), row(T0, [1, 2]));
  const handout = heir.collect() ?? assert.fail();
  await database.transaction('a test', (transaction) => part.write(transaction, [handout]));
  assert.deepEqual(await fleetOf('twice'), [{ start: T0, devices: 2, sum: 7.1 }]);
  const keys = await database.query('counting', `SELECT FROM rollups WHERE metric = 'twice'`);
  assert.equal(keys.length, 2, 'one for each partition, whoever owns it');
});

test('a change of what is gone is told and left out; what is expired is left out', async () => {
  let missing = 0;
  const part = rollupPart({
    groupings: groupings(['fleet'], []),
    onMissing: (windows) => {
      missing += windows;
    },
  });
  const owner = await part.open(database, 2, stateAt(0n));
  const series = { id: 5, site: 's', device: 'd5', metric: 'gone' };
  const write = async (): Promise<void> => {
    const handout = owner.collect() ?? assert.fail();
    await database.transaction('a test', (transaction) => part.write(transaction, [handout]));
    owner.settled?.(handout);
  };
  owner.row?.(1, series, row(T0, [1, 2]), row(T0, [1]));
  owner.row?.(1, series, row(T0 + 10_000, [1]), null);
  await write();
  assert.equal(missing, 1);
  assert.deepEqual(
    (await fleetOf('gone')).map(({ start }) => start),
    [T0 + 10_000],
  );
  await database.query(
    'expiring roll-ups',
    `INSERT INTO retention (table_name, expired_before, changed_at) VALUES ('rollups_10s', $1, now())`,
    [new Date(T0 + 20_000)],
  );
  assert.deepEqual(await fleetOf('gone'), []);
  owner.row?.(1, series, row(T0 + 10_000, [1, 2]), row(T0 + 10_000, [1]));
  owner.row?.(1, series, row(T0 + 20_000, [1]), null);
  await write();
  assert.equal(missing, 1, 'what is expired is not missing');
  const [kept] = await database.query<{ count: string }>(
    'reading a roll-up',
    `SELECT count FROM rollups_10s JOIN rollups USING (rollup_id) WHERE metric = 'gone' ORDER BY ts LIMIT 1`,
  );
  assert.equal(kept?.count, '1', 'the expired one is as it was');
  assert.deepEqual(
    (await fleetOf('gone')).map(({ start }) => start),
    [T0 + 20_000],
  );
});

test('a definition that a partition left begins anew when it comes back', async () => {
  const since = async (): Promise<number> => {
    const answer = await database.query<{ since: number }>(
      'reading scopes',
      `SELECT (extract(epoch FROM since) * 1000)::float8 AS since FROM rollup_scopes WHERE partition = 3`,
    );
    return answer[0]?.since ?? Number.NaN;
  };
  const own = async (by: readonly string[], newest: number): Promise<void> => {
    const part = rollupPart({ groupings: groupings(by, []) });
    const state = stateAt(0n);
    state.newest = newest;
    const owner = await part.open(database, 3, state);
    const handout = owner.collect();
    if (handout === null) return;
    await database.transaction('a test', (transaction) => part.write(transaction, [handout]));
  };
  await own(['fleet'], Number.NEGATIVE_INFINITY);
  assert.equal(await since(), Number.NEGATIVE_INFINITY);
  await own(['fleet'], T0);
  assert.equal(await since(), Number.NEGATIVE_INFINITY, 'the next owner goes on');
  await own([], T0 + 1_000);
  assert.ok(Number.isNaN(await since()));
  await own(['fleet'], T0 + 2_000);
  assert.equal(await since(), T0 + 2_000);
});

test('derived metrics hold from an offset on, in whatever log is read again', async () => {
  const double: DerivedMetric = { metric: 'double', expression: 'a * 2', match: '*/*' };
  const triple: DerivedMetric = { metric: 'triple', expression: 'a * 3', match: '*/*' };
  /** The metrics that a partition makes of a line at each of these offsets. */
  const follow = async (
    metrics: readonly DerivedMetric[] | null,
    next: bigint,
    offsets: readonly bigint[],
  ) => {
    const part = derivationPart({ metrics });
    const state = stateAt(next);
    const made: string[] = [];
    state.observe({
      line: (_envelope, readings) => made.push(readings.map(({ metric }) => metric).join(' ')),
    });
    const owner = await part.open(database, 4, state);
    const handout = owner.collect();
    if (handout !== null) await database.transaction('a test', (tx) => part.write(tx, [handout]));
    for (const offset of offsets) {
      const envelope = { v: 1, edge: 'e/1', n: Number(offset), site: 's', device: 'd', at: T0, via: 'http' };
      const line = JSON.stringify({ ...envelope, payload: { ts: T0, values: { a: 1 } } });
      state.apply(offset, joinLines([line]), 0);
    }
    return made;
  };
  assert.deepEqual(await follow([], 0n, [0n]), ['a']);
  assert.deepEqual(await follow([double], 10n, [5n, 9n, 10n]), ['a', 'a', 'a double']);
  assert.deepEqual(await follow([double, triple], 20n, [9n, 15n, 20n]), ['a', 'a double', 'a double triple']);
  assert.deepEqual(await follow([double, triple], 30n, [15n, 31n]), ['a double', 'a double triple']);
  assert.deepEqual(await follow(null, 0n, [3n, 12n, 22n]), ['a', 'a double', 'a double triple'], 'an audit');
  // The topic was made anew: what was remembered of later offsets is of another log.
  assert.deepEqual(await follow([triple], 0n, [0n, 12n, 22n]), ['a triple', 'a triple', 'a triple']);
  const rows = await database.query('counting', 'SELECT FROM derivations WHERE partition = 4');
  assert.equal(rows.length, 1);
});
