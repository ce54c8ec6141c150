import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { deviceDetail, type SeriesPoint, series, summary, windowList } from '@weir/api';
import { TABLES } from '@weir/topology';
import { bench, foldReadings, type SentReading, storeAlert } from './gateway.fixture.ts';

const SECOND = 1_000;
const HOUR = 3_600_000;
const OPTIONS = {
  outOfOrdernessMs: 2_000,
  allowedLatenessMs: 600_000,
  idleTimeoutMs: 60_000,
  dedupHorizonMs: 60_000,
  dedupCount: 64,
};
/** Four hours of readings that ended some seconds ago, in the middle of windows of every level. */
const T0 = Math.floor(Date.now() / HOUR) * HOUR - 4 * HOUR;
const END = Math.max(T0 + 4 * HOUR, Math.floor(Date.now() / SECOND) * SECOND - 3 * SECOND) + 437;

/** Repeatable, uniform in [0, 1). */
let seed = 7;
const draw = (): number => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
};
const readings: SentReading[] = [];
for (let ts = T0; ts <= END; ts += Math.ceil(draw() * 1_900)) {
  // Half an hour without a reading, and some that come up to two seconds out of order.
  if (ts > T0 + 1.7 * HOUR && ts < T0 + 2.2 * HOUR) continue;
  const moved = ts === T0 || draw() < 0.9 ? ts : Math.max(T0, ts - Math.floor(draw() * 1_900));
  readings.push({
    device: 'mixer',
    metric: 'torque',
    ts: moved,
    value: Math.round(draw() * 1e6) / 997 - 300,
  });
}
readings.push({ device: 'mixer', metric: 'torque', ts: END, value: 42 });
const newest = Math.floor(END / SECOND) * SECOND;
const watermark = newest - OPTIONS.outOfOrdernessMs;

const it = await bench(
  { after },
  {
    WEIR_AGGREGATOR__OUT_OF_ORDERNESS: '2s',
    WEIR_AGGREGATOR__ALLOWED_LATENESS: '10m',
    WEIR_GATEWAY__CACHE_TTL: '1ms',
    // The readings end when this file begins: a busy machine takes its time until somebody asks.
    WEIR_GATEWAY__SILENT_AFTER: '30m',
  },
);
const { database } = it;
await foldReadings(database, readings, OPTIONS, 700);

const at = (ms: number): string => new Date(ms).toISOString();
const ask = async (query: string) =>
  series.parse((await it.get(`/api/v1/devices/mixer/series?metric=torque&${query}`)).body);

/** The figures of a point by grouping and sorting, without any window. */
function assertPoint({ start, end, figures }: SeriesPoint, of: readonly SentReading[]): void {
  const [from, to] = [Date.parse(start), Date.parse(end)];
  const own = of.filter(({ ts }) => ts >= from && ts < to);
  if (own.length === 0) {
    assert.equal(figures, null, `${start}: no reading is not zero`);
    return;
  }
  assert.ok(figures !== null, `${start} has ${own.length} readings`);
  const values = own.map(({ value }) => value).sort((a, b) => a - b);
  const sum = values.reduce((all, value) => all + value, 0);
  const mean = sum / values.length;
  const near = (actual: number | null, wanted: number, what: string): void => {
    const tolerance = 1e-9 * Math.max(1, Math.abs(wanted), ...values.map(Math.abs));
    assert.ok(
      actual !== null && Math.abs(actual - wanted) <= tolerance,
      `${start} ${what}: ${actual}, not ${wanted}`,
    );
  };
  assert.deepEqual([figures.count, figures.min, figures.max], [values.length, values[0], values.at(-1)]);
  near(figures.sum, sum, 'sum');
  near(figures.mean, mean, 'mean');
  near(figures.eventsPerSecond, (values.length * SECOND) / (to - from), 'events per second');
  if (values.length === 1) assert.equal(figures.stddev, null);
  else
    near(
      figures.stddev,
      Math.sqrt(values.reduce((all, v) => all + (v - mean) ** 2, 0) / (values.length - 1)),
      'stddev',
    );
  for (const [name, q] of [
    ['median', 0.5],
    ['p50', 0.5],
    ['p90', 0.9],
    ['p99', 0.99],
  ] as const) {
    const exact = values[Math.floor(q * (values.length - 1))] as number;
    assert.ok(
      Math.abs(figures[name] - exact) <= 0.0101 * Math.abs(exact),
      `${start} ${name}: ${figures[name]}, not ${exact}`,
    );
  }
  const byTime = own.toSorted((a, b) => a.ts - b.ts);
  assert.equal(figures.firstAt, at(byTime[0]?.ts as number));
  assert.equal(figures.lastAt, at(byTime.at(-1)?.ts as number));
  if (byTime[0]?.ts === byTime.at(-1)?.ts) assert.equal(figures.rateOfChange, null);
  else {
    const seconds = (Date.parse(figures.lastAt) - Date.parse(figures.firstAt)) / SECOND;
    near(figures.rateOfChange, (figures.last - figures.first) / seconds, 'rate of change');
  }
}

test('any range in any number of points has the figures of its readings, and every reading once', async () => {
  for (let round = 0; round < 25; round++) {
    const from = T0 - 600_000 + Math.floor(draw() * 4.2 * HOUR);
    const to = from + Math.ceil(draw() ** 3 * 4.5 * HOUR);
    const points = [1, 3, 17, 120, 900][round % 5] as number;
    const answer = await ask(`from=${from}&to=${to}&points=${points}`);
    assert.ok(answer.points.length <= points + 1, `${answer.points.length} of ${points}`);
    let end = Math.floor(from / SECOND) * SECOND;
    for (const point of answer.points) {
      assert.equal(Date.parse(point.start), end, 'points follow each other without a gap');
      end = Date.parse(point.end);
      assertPoint(point, readings);
      assert.equal(point.isClosed, end <= watermark);
      assert.equal(point.isFinal, end + OPTIONS.allowedLatenessMs <= watermark);
    }
    assert.equal(end, Math.ceil(to / SECOND) * SECOND);
    const counted = answer.points.reduce((sum, { figures }) => sum + (figures?.count ?? 0), 0);
    const low = Math.floor(from / SECOND) * SECOND;
    assert.equal(counted, readings.filter(({ ts }) => ts >= low && ts < end).length);
  }
});

test('the newest end comes from the finest windows, the rest from coarse ones, and the answer says so', async () => {
  const answer = await ask(`from=${T0}&to=${newest + SECOND}&level=1h`);
  assert.deepEqual(answer.stretches.map(({ level }) => level).slice(0, 1), ['1h']);
  assert.equal(answer.stretches.at(-1)?.level, '1s');
  assert.equal(answer.watermark, at(watermark));
  assert.equal(
    answer.stretches.reduce((sum, { windows }) => sum + windows, 0) < 60,
    true,
    'a handful of windows instead of four hours of seconds',
  );
  for (const point of answer.points) assertPoint(point, readings);
});

test('where seconds are expired the finest level that is left takes their place', async () => {
  await database.query(
    'adding',
    `INSERT INTO ${TABLES.retention} (table_name, expired_before, changed_at)
    VALUES ('windows_1s', $1, now()), ('windows_10s', $2, now())`,
    [new Date(T0 + 2 * HOUR), new Date(T0 + HOUR)],
  );
  await database.query('expiring seconds', 'DELETE FROM windows_1s WHERE ts < $1', [new Date(T0 + 2 * HOUR)]);
  await database.query('expiring', 'DELETE FROM windows_10s WHERE ts < $1', [new Date(T0 + HOUR)]);
  const [from, to] = [T0 + HOUR - 95_000, T0 + HOUR + 47_000];
  const answer = await ask(`from=${from}&to=${to}&level=1s`);
  assert.deepEqual(
    answer.stretches.map((one) => [
      one.level,
      Date.parse(one.from) - T0 - HOUR,
      Date.parse(one.to) - T0 - HOUR,
    ]),
    [
      ['1m', -120_000, 0],
      ['10s', 0, 50_000],
    ],
  );
  assert.deepEqual([answer.from, answer.to], [at(T0 + HOUR - 120_000), at(T0 + HOUR + 50_000)]);
  for (const point of answer.points) assertPoint(point, readings);
  await database.query(
    'expiring all',
    `INSERT INTO ${TABLES.retention} (table_name, expired_before, changed_at)
    SELECT 'windows_' || level, $1, now() FROM unnest(ARRAY['1s', '10s', '1m', '5m', '15m', '1h']) level
    ON CONFLICT (table_name) DO UPDATE SET expired_before = EXCLUDED.expired_before`,
    [new Date(T0 + HOUR)],
  );
  const gone = await ask(`from=${T0}&to=${T0 + 2 * HOUR}&points=4`);
  assert.deepEqual(
    gone.stretches.map(({ level }) => level),
    [null, '15m'],
  );
  assert.deepEqual(
    gone.points.map(({ figures }) => figures === null),
    [true, true, false, false],
  );
  await database.query('forgetting', `DELETE FROM ${TABLES.retention}`);
});

test('the summary tells values, windows, alerts, liveness, clock and gaps in one answer', async () => {
  await storeAlert(database, {
    id: '01890000-0000-7000-8000-000000000001',
    device: 'mixer',
    state: 'firing',
    updatedAt: new Date(END),
  });
  await storeAlert(database, {
    id: '01890000-0000-7000-8000-000000000002',
    device: 'mixer',
    state: 'resolved',
    updatedAt: new Date(END),
  });
  const told = summary.parse((await it.get('/api/v1/devices/mixer/summary?levels=1h,1s,10s,1m')).body);
  assert.equal(told.watermark, at(watermark));
  assert.equal(told.liveness.state, 'online');
  assert.equal(told.liveness.lastSeen, at(END));
  assert.equal(told.sequence?.last, readings.length - 1);
  assert.equal(told.sequence?.gaps, 0);
  const { facts } = deviceDetail.parse((await it.get('/api/v1/devices/mixer')).body);
  assert.deepEqual([facts?.sequence, facts?.clock, facts?.lastSeen], [told.sequence, told.clock, at(END)]);
  assert.equal(facts?.watermark, at(watermark));
  assert.ok(
    Math.abs(facts?.clock?.offsetMs ?? 1e9) <= (facts?.clock?.errorMs ?? 0),
    'its times are its arrivals',
  );
  assert.deepEqual(
    told.alerts.map(({ state, device }) => [state, device]),
    [['firing', 'mixer']],
  );
  const [torque] = told.metrics;
  assert.deepEqual([torque?.metric, torque?.value, torque?.at], ['torque', 42, at(END)]);
  const sizes = { '1s': SECOND, '10s': 10 * SECOND, '1m': 60 * SECOND, '1h': HOUR } as const;
  assert.deepEqual(
    torque?.windows.map(({ level }) => level),
    Object.keys(sizes),
  );
  for (const { level, current, lastClosed } of torque?.windows ?? []) {
    const size = sizes[level as keyof typeof sizes];
    const start = Math.floor(newest / size) * size;
    assert.ok(current !== null && lastClosed !== null);
    assert.equal(current.start, at(start));
    assert.equal(current.isClosed, false);
    assertPoint({ ...current, figures: current }, readings);
    const closed = readings
      .map(({ ts }) => Math.floor(ts / size) * size)
      .filter((one) => one + size <= watermark);
    assert.equal(lastClosed.start, at(Math.max(...closed)));
    assert.equal(lastClosed.isClosed, true);
    assertPoint({ ...lastClosed, figures: lastClosed }, readings);
  }
  const windows = windowList.parse(
    (await it.get(`/api/v1/devices/mixer/windows?metric=torque&level=10s&from=${T0}&limit=3`)).body,
  );
  assert.equal(windows.watermark, at(watermark));
  for (const window of windows.windows) assertPoint({ ...window, figures: window }, readings);
});

test('a device that fell silent is told as such', async () => {
  const ago = new Date(Date.now() - HOUR);
  await database.query('going back', `UPDATE ${TABLES.devices} SET last_seen = $1 WHERE device = 'mixer'`, [
    ago,
  ]);
  const told = summary.parse((await it.get('/api/v1/devices/mixer/summary?levels=5m')).body);
  assert.equal(told.liveness.state, 'silent');
  assert.ok(Math.abs((told.liveness.silentForSeconds ?? 0) - HOUR / SECOND) < 60);
});

test('questions that cannot be answered are refused with the part that is wrong', async () => {
  const path = '/api/v1/devices/mixer';
  const wrong: Record<string, string> = {
    [`${path}/series?metric=torque&from=${T0}&to=${T0}`]: 'from',
    [`${path}/series?metric=torque&points=0`]: 'points',
    [`${path}/series?metric=torque&points=5001`]: 'points',
    [`${path}/series?metric=torque&from=${T0 - 48 * HOUR}&level=1s`]: 'level',
    [`${path}/series?metric=torque&from=0&points=2`]: 'points',
    [`${path}/series`]: 'metric',
    [`${path}/summary?levels=2s`]: 'levels',
    [`${path}/summary?levels=`]: 'levels',
  };
  for (const [query, part] of Object.entries(wrong)) {
    const { status, body } = await it.get(query);
    assert.equal(status, 400, query);
    assert.ok(body.detail.includes(part), `${query}: ${body.detail}`);
  }
  assert.equal((await it.get('/api/v1/devices/nobody/summary')).body.code, 'device-not-found');
  assert.equal((await it.get('/api/v1/devices/nobody/series?metric=torque')).body.code, 'device-not-found');
  const other = series.parse((await it.get(`${path}/series?metric=nothing&points=2`)).body);
  assert.deepEqual(
    other.points.map(({ figures }) => figures),
    [null, null],
  );
});
