import assert from 'node:assert/strict';
import { test } from 'node:test';
import { acknowledgeAlert } from '@weir/connect-timescale';
import { until } from '@weir/testkit';
import { TABLES } from '@weir/topology';
import { bench, progress, telemetry } from './alerter.fixture.ts';

const T0 = Date.parse('2026-03-01T12:00:00Z');
const SECOND = 1_000;

type Bench = Awaited<ReturnType<typeof bench>>;

/** What was told so far, in order: rule, device and state; in brackets what is told to nobody. */
async function told({ database }: Bench): Promise<string[]> {
  const rows = await database.query<{ text: string }>(
    'reading what is told',
    `SELECT CASE WHEN suppressed THEN '(' || t || ')' ELSE t END AS text FROM
       (SELECT seq, suppressed, trim(concat_ws(' ', alert->>'rule', alert->>'device')) || ' ' || state AS t
          FROM ${TABLES.alertTransitions}) x ORDER BY seq`,
  );
  return rows.map(({ text }) => text);
}
const untilTold = (setup: Bench, expected: readonly string[]): Promise<unknown> =>
  until(async () => (await told(setup)).length >= expected.length, {
    deadlineMs: 20_000,
    what: `${expected.length} changes to be told`,
  }).then(async () => assert.deepEqual(await told(setup), expected));
const one = (device: string, second: number, value: number, metric = 'temperature') =>
  telemetry([{ device, ts: T0 + second * SECOND, value }], 'normal', metric);

test('a change per time, and what rules make of others, with an acknowledgement between', async (t) => {
  const setup = await bench(t, [
    {
      id: 'climb',
      kind: 'rate',
      metric: 'pressure',
      above: 60,
      over: '10s',
      per: '1m',
      labels: { line: 'a' },
    },
    { id: 'hot', metric: 'temperature', above: 80, severity: 'info' },
    { id: 'boiling', kind: 'composite', when: { all: ['climb', 'hot'] }, hold: '5s', severity: 'critical' },
  ]);
  await setup.start();
  await setup.publish([one('a', 0, 90), one('b', 0, 20)]);
  // 0.5 a second is 30 a minute; from the eleventh reading on 2 a second, which is over the limit once the span is.
  for (let second = 0; second <= 22; second++) {
    const value = second <= 10 ? second / 2 : 5 + (second - 10) * 2;
    await setup.publish([one('a', second, value, 'pressure'), one('b', second, second / 2, 'pressure')]);
  }
  await untilTold(setup, ['hot a firing', 'climb a firing', 'boiling a firing']);
  const rows = await setup.rows();
  const climb = rows.find(({ rule }) => rule === 'climb');
  assert.deepEqual(
    [climb?.kind, climb?.labels, climb?.threshold, climb?.firedAt?.getTime()],
    ['rate', { line: 'a' }, 60, T0 + 14 * SECOND],
  );
  assert.ok(Math.abs(Number(climb?.value) - 66) < 1e-6, `${climb?.value} a minute over the last ten seconds`);
  const boiling = (await setup.rows()).find(({ rule }) => rule === 'boiling');
  assert.deepEqual(
    [boiling?.startedAt.getTime(), boiling?.firedAt?.getTime()],
    [T0 + 14 * SECOND, T0 + 19 * SECOND],
  );
  const acknowledged = await setup.database.transaction('acknowledging', (sql) =>
    acknowledgeAlert(sql, boiling?.id ?? '', 'ada'),
  );
  assert.deepEqual([acknowledged?.state, acknowledged?.acknowledgedBy], ['acknowledged', 'ada']);
  await setup.publish([one('a', 24, 20)]);
  await untilTold(setup, [
    'hot a firing',
    'climb a firing',
    'boiling a firing',
    'boiling a acknowledged',
    'hot a resolved',
    'boiling a resolved',
  ]);
});

test('three devices of a site are one alert; what it covered is told when it ends and that still fires', async (t) => {
  const setup = await bench(t, [
    { id: 'hot', metric: 'temperature', above: 80 },
    {
      id: 'site-hot',
      kind: 'correlation',
      rule: 'hot',
      devices: 3,
      within: '30s',
      grace: '3s',
      severity: 'critical',
    },
  ]);
  const app = await setup.start();
  // It waits for others before it is told, and is told also when the alerter dies meanwhile.
  await setup.publish([one('alone', 0, 90)]);
  await setup.evaluated('alone', T0);
  await app.kill('SIGKILL');
  await app.restart();
  await untilTold(setup, ['hot alone firing']);
  await setup.publish([one('a', 100, 90), one('b', 110, 90), one('c', 120, 90), one('late', 150, 90)]);
  const soFar = ['hot alone firing', 'site-hot firing'];
  await setup.evaluated('late', T0 + 150 * SECOND);
  const first = await told(setup);
  assert.deepEqual(
    first.filter((text) => !text.startsWith('(')),
    soFar,
    'nobody is told of the devices',
  );
  assert.equal(first.length, 2 + 4);
  const rows = await setup.rows();
  const site = rows.find(({ rule }) => rule === 'site-hot');
  assert.deepEqual([site?.device, site?.metric, site?.value, site?.threshold], ['', '', 3, 3]);
  assert.deepEqual(
    rows
      .filter(({ suppressedBy }) => suppressedBy === site?.id)
      .map(({ device }) => device)
      .toSorted(),
    ['a', 'b', 'c', 'late'],
  );
  await setup.publish([one('a', 200, 20), one('b', 201, 20), one('alone', 202, 20)]);
  await until(
    async () => (await setup.rows()).some(({ rule, state }) => rule === 'site-hot' && state === 'resolved'),
    {
      deadlineMs: 20_000,
      what: 'the alert of the site to end',
    },
  );
  await setup.publish([one('c', 300, 20)]);
  await setup.evaluated('c', T0 + 300 * SECOND);
  const after = (await told(setup)).filter((text) => !text.startsWith('(')).slice(soFar.length);
  assert.deepEqual(after.toSorted(), [
    'hot alone resolved',
    'hot c firing',
    'hot c resolved',
    'hot late firing',
    'site-hot resolved',
  ]);
});

test('a reading is missing by the time of its edge, not by the clock of the alerter', async (t) => {
  const setup = await bench(t, [{ id: 'gone', kind: 'missing', metric: 'temperature', after: '60s' }]);
  const app = await setup.start();
  const at = (second: number): number => T0 + second * SECOND;
  await setup.publish([one('a', 0, 1), one('b', 0, 1), progress(at(1))]);
  await setup.evaluated('b', at(0));
  await setup.publish([one('b', 50, 1), progress(at(59))]);
  await setup.evaluated('b', at(50));
  assert.deepEqual(await told(setup), []);
  await setup.publish([progress(at(61))]);
  await untilTold(setup, ['gone a firing']);
  const [alert] = await setup.rows();
  assert.deepEqual([alert?.value, alert?.threshold, alert?.metric], [61, 60, 'temperature']);
  // A new alerter knows what the old one did: a is missing still, and b not yet.
  await app.kill('SIGKILL');
  await app.restart();
  await setup.publish([one('a', 70, 1), progress(at(100))]);
  await untilTold(setup, ['gone a firing', 'gone a resolved']);
  await setup.publish([one('b', 101, 1), one('a', 101, 1), progress(at(120))]);
  await setup.evaluated('b', at(101));
  assert.equal((await told(setup)).length, 2);
});

test('rules about closed windows and about anomaly scores', async (t) => {
  const setup = await bench(t, [
    {
      id: 'warm',
      kind: 'window',
      metric: 'temperature',
      level: '10s',
      figure: 'mean',
      above: 50,
      hold: '20s',
    },
    { id: 'odd', kind: 'anomaly', metric: 'temperature', level: '10s' },
  ]);
  const { database } = setup;
  const begin = T0 - 4 * 86_400 * SECOND;
  await database.query(
    'storing a series',
    `INSERT INTO series (site, device, metric) VALUES ('plant-1', 'm', 'temperature')`,
  );
  /** Windows with one value each, and the newest pane that says how far the device is. */
  const store = (from: number, values: readonly number[]): Promise<unknown> =>
    database.transaction('storing windows', async (sql) => {
      const numbers = `to_timestamp($1::float8 / 1000) + (n - 1) * interval '10 seconds'`;
      await sql.query(
        'storing windows',
        `INSERT INTO windows_10s (ts, first_ts, last_ts, sum, min, max, m2, first, last, p50, p90, p99, series_id, count)
         SELECT ts, ts, ts, v, v, v, 0, v, v, v, v, v, (SELECT max(series_id) FROM series), 1
           FROM (SELECT ${numbers} AS ts, v FROM unnest($2::float8[]) WITH ORDINALITY AS x (v, n)) w`,
        [from, values],
      );
      await sql.query(
        'storing the newest pane',
        `INSERT INTO windows_1s (ts, first_ts, last_ts, sum, min, max, m2, first, last, series_id, count)
         SELECT ts, ts, ts, 0, 0, 0, 0, 0, 0, (SELECT max(series_id) FROM series), 1
           FROM (SELECT to_timestamp($1::float8 / 1000) AS ts) w`,
        [from + values.length * 10 * SECOND + 5 * SECOND],
      );
    });
  // Three days and more of a calm course are known when the alerter starts: nothing of that is told.
  const calm = Array.from({ length: (T0 - begin) / (10 * SECOND) }, (_, i) => 20 + ((i * 7_919) % 101) / 100);
  calm[10] = 99;
  await store(begin, calm);
  const app = await setup.start();
  await until(
    async () =>
      (await database.query('reading states', `SELECT 1 FROM ${TABLES.alertRuleState}`)).length === 2,
    {
      deadlineMs: 30_000,
      what: 'the newest window to be seen by both rules',
    },
  );
  assert.deepEqual(await told(setup), []);
  await store(T0, [20.5, 60, 61]);
  await untilTold(setup, ['odd m firing']);
  await app.kill('SIGKILL');
  await store(T0 + 30 * SECOND, [62, 20.4]);
  await app.restart();
  await untilTold(setup, ['odd m firing', 'warm m firing', 'warm m resolved', 'odd m resolved']);
});
