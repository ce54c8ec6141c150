import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { anomaly, view } from '@weir/api';
import { CHECKOUT } from '@weir/testkit';
import { scoreSeries } from '@weir/windows';
import { bench, foldReadings, type SentReading } from './gateway.fixture.ts';

const SECOND = 1_000;
const MINUTE = 60_000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const OPTIONS = {
  outOfOrdernessMs: 2_000,
  allowedLatenessMs: 600_000,
  idleTimeoutMs: 60_000,
  dedupHorizonMs: 60_000,
  dedupCount: 64,
};
const START = Math.floor(Date.now() / DAY) * DAY - 2 * DAY;

/** Repeatable, uniform in [0, 1). */
let seed = 11;
const draw = (): number => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
  return seed / 2 ** 32;
};
/** Forty minutes of a pump at irregular times, with five minutes of silence. */
const pump: SentReading[] = [];
for (let ts = START + 437; ts < START + 40 * MINUTE; ts += Math.ceil(draw() * 7_000)) {
  if (ts > START + 18 * MINUTE && ts < START + 23 * MINUTE) continue;
  pump.push({ device: 'pump', metric: 'flow', ts, value: Math.round(draw() * 1e6) / 997 - 300 });
}

/** Weeks of a recorded machine at a reading in five minutes, as if its last one was some days ago. */
const recorded = readFileSync(
  join(CHECKOUT, 'load/recordings/machine_temperature_system_failure.csv'),
  'utf8',
)
  .trimEnd()
  .split('\n')
  .slice(1, 6_000)
  .map((line) => line.split(','));
const machine: SentReading[] = [];
recorded.forEach(([, value], i) => {
  machine.push({
    device: 'machine',
    metric: 'temperature',
    ts: START - DAY - (recorded.length - i) * 5 * MINUTE,
    value: Number(value),
  });
});

const it = await bench(
  { after },
  {
    WEIR_AGGREGATOR__OUT_OF_ORDERNESS: '2s',
    WEIR_AGGREGATOR__ALLOWED_LATENESS: '10m',
    WEIR_GATEWAY__CACHE_TTL: '1ms',
  },
);
// The windows before the last one are closed by it.
const closing = { ...(machine.at(-1) as SentReading), ts: START - DAY + 10 * MINUTE };
await foldReadings(it.database, [...machine, closing, ...pump], OPTIONS, 1_000);

const at = (ms: number): string => new Date(ms).toISOString();
const range = (from: number, to: number): string => `from=${from}&to=${to}`;
const ask = async (query: string) => {
  const answer = await it.get(`/api/v1/devices/pump/views?metric=flow&${query}`);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return view.parse(answer.body);
};
const inside = (from: number, to: number): number[] =>
  pump.filter(({ ts }) => ts >= from && ts < to).map(({ value }) => value);
const near = (actual: number | null | undefined, expected: number): void => {
  assert.ok(
    typeof actual === 'number' && Math.abs(actual - expected) <= 1e-9 * Math.max(1, Math.abs(expected)),
    `${actual} is not ${expected}`,
  );
};

test('hopping windows of 5 minutes every 10 seconds equal those of the readings', async () => {
  const [from, to] = [START + 10 * MINUTE, START + 30 * MINUTE];
  const answer = await ask(`kind=hopping&size=5m&hop=10s&${range(from, to)}`);
  assert.equal(answer.level, '10s');
  assert.equal(answer.points.length, 120);
  let gaps = 0;
  answer.points.forEach(({ start, end, figures }, i) => {
    assert.equal(start, at(from + i * 10 * SECOND));
    assert.equal(end, at(from + i * 10 * SECOND + 5 * MINUTE));
    const values = inside(Date.parse(start), Date.parse(end)).sort((a, b) => a - b);
    if (values.length === 0) {
      gaps++;
      assert.equal(figures, null);
      return;
    }
    const sum = values.reduce((total, value) => total + value, 0);
    assert.equal(figures?.count, values.length);
    assert.equal(figures?.min, values[0]);
    assert.equal(figures?.max, values.at(-1));
    near(figures?.sum, sum);
    near(figures?.eventsPerSecond, values.length / 300);
    const variance = values.reduce((total, value) => total + (value - sum / values.length) ** 2, 0);
    if (values.length > 1) near(figures?.stddev, Math.sqrt(variance / (values.length - 1)));
    const median = values[Math.floor((values.length - 1) / 2)] as number;
    assert.ok(Math.abs((figures?.median ?? Number.NaN) - median) <= 0.010001 * Math.abs(median));
  });
  assert.ok(gaps > 0, 'the silence is longer than no window');

  const part = await ask(`kind=hopping&size=5m&hop=10s&${range(from + 7 * MINUTE, to)}`);
  assert.deepEqual(part.points, answer.points.slice(42), 'the same figures whatever the range');
  const sliding = await ask(`kind=sliding&size=5m&${range(from, to)}`);
  assert.deepEqual(sliding.points, answer.points, 'sliding by a window of 10 s');
});

test('moving average, rate and EWMA equal those of the readings; a gap is null', async () => {
  const [from, to] = [START + 5 * MINUTE, START + 35 * MINUTE];
  const average = await ask(`kind=moving-average&size=1m&hop=10s&${range(from, to)}`);
  const rate = await ask(`kind=rate&size=1m&hop=10s&${range(from, to)}`);
  assert.equal(average.points.length, 180);
  assert.equal(average.points[0]?.end, at(from + 10 * SECOND));
  assert.equal(average.points.at(-1)?.end, at(to));
  average.points.forEach(({ start, end, value }, i) => {
    const own = pump.filter(({ ts }) => ts >= Date.parse(start) && ts < Date.parse(end));
    const [first, last] = [own[0], own.at(-1)];
    const change = rate.points[i]?.value;
    if (first === undefined || last === undefined) {
      assert.equal(value, null);
      assert.equal(change, null);
      return;
    }
    near(value, own.reduce((total, one) => total + one.value, 0) / own.length);
    if (first === last) assert.equal(change, null);
    else near(change, ((last.value - first.value) * 1_000) / (last.ts - first.ts));
  });

  const ewma = await ask(`kind=ewma&size=30s&hop=1s&${range(from, to)}`);
  assert.equal(ewma.level, '1s');
  let known = Number.NaN;
  let before = 0;
  const expected = new Map<string, number>();
  for (const start of new Set(pump.map(({ ts }) => Math.floor(ts / SECOND) * SECOND))) {
    const own = pump.filter(({ ts }) => ts >= start && ts < start + SECOND);
    const mean = own.reduce((total, one) => total + one.value, 0) / own.length;
    const ts = own.at(-1)?.ts ?? 0;
    const kept = 0.5 ** ((ts - before) / (30 * SECOND));
    known = Number.isNaN(known) ? mean : kept * known + (1 - kept) * mean;
    before = ts;
    expected.set(at(start), known);
  }
  for (const { start, value } of ewma.points) {
    const direct = expected.get(start);
    if (direct === undefined) assert.equal(value, null);
    else near(value, direct);
  }
  assert.equal(ewma.points.length, 1_800);
});

test('questions without a bound, or with sizes that do not fit, are refused in a sentence', async () => {
  for (const [query, sentence] of [
    ['kind=hopping&size=5m&hop=1s&from=0', /10000 points/],
    ['kind=hopping&size=30d&hop=7s&from=2026-01-01T00:00:00Z&to=2026-01-01T10:00:00Z', /40000 windows of 1s/],
    ['kind=ewma&size=1m&hop=7s', /1s, 10s, 1m, 5m, 15m, 1h/],
    ['kind=hopping&size=90', /whole number of s, m, h or d/],
    ['kind=median&size=5m', /kind/],
  ] as const) {
    const { status, body } = await it.get(`/api/v1/devices/pump/views?metric=flow&${query}`);
    assert.equal(status, 400, query);
    assert.match(JSON.stringify(body), sentence);
  }
  const many = await it.get('/api/v1/devices/pump/anomaly?metric=flow&level=1s&from=0');
  assert.equal(many.status, 400);
  assert.match(many.body.detail, /10000 windows of 1s/);
  assert.equal((await it.get('/api/v1/devices/nobody/anomaly?metric=flow')).status, 404);
  const none = await it.get('/api/v1/devices/pump/anomaly?metric=pressure');
  assert.deepEqual([none.status, none.body.learntFrom, none.body.points], [200, null, []]);
});

test('the anomaly score equals that of the readings', async () => {
  const { scores, alarms } = scoreSeries(machine);
  const from = machine[3_000]?.ts as number;
  const answer = await it.get(
    `/api/v1/devices/machine/anomaly?metric=temperature&${range(from, (machine.at(-1)?.ts as number) + 5 * MINUTE)}`,
  );
  assert.equal(answer.status, 200, JSON.stringify(answer.body).slice(0, 500));
  const { points, alarms: found, learntFrom, level } = anomaly.parse(answer.body);
  assert.equal(level, '5m');
  assert.equal(learntFrom, at(machine[0]?.ts as number));
  assert.equal(points.length, machine.length - 3_000);
  points.forEach((point, i) => {
    const direct = scores[3_000 + i];
    assert.deepEqual(
      [point.start, point.value, point.score, point.cause, point.expected, point.alarm],
      [
        at(machine[3_000 + i]?.ts as number),
        machine[3_000 + i]?.value,
        direct?.score,
        direct?.cause,
        direct?.expected,
        direct?.alarm,
      ],
    );
  });
  assert.deepEqual(
    found.map((alarm) => [alarm.from, alarm.to, alarm.cause, alarm.peak]),
    alarms.filter(({ to }) => to >= from).map(({ from, to, cause, peak }) => [at(from), at(to), cause, peak]),
  );
  assert.ok(found.length > 0, 'the failure of the machine is in the range');
});
