import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { KINDS } from './cursor.ts';
import { Curve } from './curve.ts';
import { planConnections } from './fleet-plan.ts';
import { outagesOf } from './outages.ts';
import { type DeviceClass, parseScenario, type Scenario } from './schema.ts';

interface Publish {
  readonly device: string;
  readonly at: number;
  readonly ts: number;
  readonly seq: number;
  readonly kind: number;
  readonly copies: number;
  readonly target: number;
}

/** Everything that a number of workers would publish, device by device. */
function scheduleOf(scenario: Scenario, workers = 1, targets = 1): Publish[] {
  const place = {
    site: 's',
    targets: Array.from({ length: targets }, () => ({ host: '', port: 1 })),
    workers,
  };
  const all: Publish[] = [];
  for (let worker = 0; worker < workers; worker++)
    for (const { devices, target } of planConnections(scenario, place, worker))
      for (const { name, cursor } of devices)
        while (cursor.advance()) {
          const { at, ts, seq, kind, copies } = cursor;
          all.push({ device: name, at, ts, seq, kind, copies, target });
        }
  return all;
}

const text = (value: number) => `${value}ms`;
const share = fc.double({ min: 0, max: 1, noNaN: true });
const classArbitrary = fc.record({
  devices: fc.integer({ min: 1, max: 12 }),
  perConnection: fc.integer({ min: 1, max: 4 }),
  rate: fc.double({ min: 0.2, max: 8, noNaN: true }),
  jitter: share,
  duplicate: share,
  malformed: fc.double({ min: 0, max: 0.5, noNaN: true }),
  late: fc.option(fc.record({ share, by: fc.integer({ min: 1, max: 9_000 }).map(text) }), { nil: undefined }),
  outOfOrder: fc.option(fc.record({ share, by: fc.integer({ min: 1, max: 900 }).map(text) }), {
    nil: undefined,
  }),
  clock: fc.option(fc.record({ share, offset: fc.constant('3s'), drift: fc.constant(500) }), {
    nil: undefined,
  }),
  flapping: fc.array(
    fc.record({ share, every: fc.integer({ min: 2_000, max: 6_000 }).map(text), down: fc.constant('1s') }),
    { maxLength: 2 },
  ),
  offline: fc.array(
    fc.record({
      share,
      from: fc.integer({ min: 0, max: 15_000 }).map(text),
      for: fc.integer({ min: 1, max: 9_000 }).map(text),
      backfill: fc.boolean(),
    }),
    { maxLength: 2 },
  ),
  bursts: fc.array(
    fc.record({ from: fc.constant('3s'), for: fc.constant('2s'), factor: fc.integer({ min: 0, max: 5 }) }),
    { maxLength: 1 },
  ),
});
const scenarioArbitrary = fc
  .record({
    seed: fc.integer({ min: 0, max: 0xffff_ffff }),
    classes: fc.array(classArbitrary, { minLength: 1, maxLength: 3 }),
  })
  .map(({ seed, classes }) =>
    parseScenario(
      JSON.stringify({
        name: 'made',
        seed,
        duration: '20s',
        probes: 2,
        classes: classes.map((one, i) => ({ name: `c${i}`, metrics: [{ name: 'm' }], ...one })),
      }),
      'made',
      '.',
    ),
  );

test('the same scenario and seed make the same schedule, over any number of workers', () => {
  fc.assert(
    fc.property(scenarioArbitrary, fc.integer({ min: 1, max: 5 }), (scenario, workers) => {
      const byDevice = (all: readonly Publish[]) =>
        all
          .map(({ target: _, ...one }) => one)
          .sort((a, b) => (a.device < b.device ? -1 : a.device > b.device ? 1 : 0));
      assert.deepEqual(byDevice(scheduleOf(scenario, workers, 3)), byDevice(scheduleOf(scenario)));
    }),
    { numRuns: 40 },
  );
});

test('times of a device never go back, its numbers have no gap, and none is lost or doubled', () => {
  fc.assert(
    fc.property(scenarioArbitrary, (scenario) => {
      for (const all of Map.groupBy(scheduleOf(scenario), ({ device }) => device).values()) {
        all.forEach(({ at }, i) => {
          assert.ok(i === 0 || at >= (all[i - 1] as Publish).at);
        });
        const seqs = all.filter(({ kind }) => kind === KINDS.reading).map(({ seq }) => seq);
        assert.deepEqual(
          seqs.toSorted((a, b) => a - b),
          seqs.map((_, i) => i + 1),
        );
      }
    }),
    { numRuns: 60 },
  );
});

test('nothing is meant to leave while its connection is meant to be away', () => {
  fc.assert(
    fc.property(scenarioArbitrary, (scenario) => {
      const place = { site: 's', targets: [{ host: '', port: 1 }], workers: 1 };
      for (const { devices, outages } of planConnections(scenario, place, 0)) {
        outages.forEach(({ from, to }, i) => {
          assert.ok(from <= to && (i === 0 || from > (outages[i - 1]?.to ?? 0)));
        });
        for (const { cursor } of devices)
          while (cursor.advance())
            assert.ok(!outages.some(({ from, to }) => cursor.at > from && cursor.at < to), String(cursor.at));
      }
    }),
    { numRuns: 60 },
  );
});

const plain = (more: object): Scenario =>
  parseScenario(
    JSON.stringify({
      name: 'made',
      duration: '100s',
      probes: 0,
      classes: [
        { name: 'c', devices: 40, rate: 2, metrics: [{ name: 'm' }], connect: { within: '0s' }, ...more },
      ],
    }),
    'made',
    '.',
  );

test('another seed is another schedule', () => {
  assert.notDeepEqual(scheduleOf({ ...plain({}), seed: 1 }), scheduleOf({ ...plain({}), seed: 2 }));
});

test('a rate is exact, with jitter too', () => {
  for (const jitter of [0, 0.5, 1]) {
    const count = scheduleOf(plain({ jitter })).length;
    assert.ok(Math.abs(count - 8_000) <= 40, `${count} with jitter ${jitter}`);
  }
});

test('ramps, bursts and days change the number of readings by their integral', () => {
  const count = (more: object) => scheduleOf(plain(more)).length;
  const near = (actual: number, expected: number) =>
    assert.ok(Math.abs(actual - expected) <= 80, `${actual}, expected ${expected}`);
  near(
    count({
      ramp: [
        { at: '0s', factor: 0 },
        { at: '100s', factor: 1 },
      ],
    }),
    4_000,
  );
  near(count({ bursts: [{ from: '10s', for: '5s', factor: 3, every: '50s' }] }), 8_000 + 2 * 10 * 80);
  near(count({ diurnal: { period: '100s', low: 0, peak: '0s' } }), 4_000);
  near(count({ silent: [{ share: 1, from: '50s', for: '10s' }] }), 7_200);
  near(count({ offline: [{ share: 1, from: '50s', for: '10s', backfill: false }] }), 7_200);
  near(count({ offline: [{ share: 1, from: '50s', for: '10s', backfill: true }] }), 8_000);
});

test('what a backfilling device takes while it is away is meant to leave at its return, with its own times', () => {
  const held = scheduleOf(plain({ offline: [{ share: 1, from: '50s', for: '10s' }] })).filter(
    ({ ts }) => ts >= 50_000 && ts < 60_000,
  );
  assert.equal(held.length, 800);
  assert.ok(held.every(({ at }) => at === 60_000));
});

test('shares are what they say', () => {
  const all = scheduleOf(plain({ duplicate: 0.1, malformed: 0.05, oversized: 0.02 }));
  const of = (wanted: (one: Publish) => boolean) => all.filter(wanted).length / all.length;
  const near = (actual: number, expected: number) =>
    assert.ok(Math.abs(actual - expected) < 0.015, String(actual));
  near(
    of(({ copies }) => copies === 2),
    0.093,
  );
  near(
    of(({ kind }) => kind === KINDS.malformed),
    0.05,
  );
  near(
    of(({ kind }) => kind === KINDS.oversized),
    0.019,
  );
});

test('a storm cuts all of its share at once, and all dial at once', () => {
  const [spec] = plain({ storms: [{ at: '30s', away: '2s' }] }).classes as [DeviceClass];
  for (let i = 0; i < 40; i++)
    assert.deepEqual(outagesOf(spec, i, 40, 1, 100_000).slice(1), [
      { from: 30_000, to: 32_000, backfill: true },
    ]);
});

test('the time of a curve is the inverse of its integral', () => {
  const [spec] = plain({ diurnal: { period: '40s', low: 0.2, peak: '7s' } }).classes as [DeviceClass];
  const curve = new Curve(spec, 100_000);
  const step = { step: 0 };
  let before = -1;
  for (let seconds = 0; seconds < curve.total; seconds += 0.37) {
    const at = curve.timeOf(seconds, step);
    assert.ok(at > before && at <= 100_000);
    before = at;
  }
  assert.equal(curve.timeOf(curve.total, step), Number.POSITIVE_INFINITY);
});
