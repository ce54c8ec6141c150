import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { exactQuantile } from './recompute.ts';
import { Rollup, type RollupRow } from './rollup.ts';
import { RollupChanges } from './rollup-changes.ts';
import { groupings } from './rollup-groups.ts';
import { Sketch } from './sketch.ts';
import type { Figures } from './window.ts';

interface Sent {
  readonly ts: number;
  readonly value: number;
}

/** A device row of level 10s, the plain way. */
function row(start: number, sent: readonly Sent[]): Figures {
  const sketch = new Sketch();
  for (const { value } of sent) sketch.add(value);
  const values = sent.map(({ value }) => value);
  const sum = values.reduce((a, b) => a + b, 0);
  const byTime = [...sent].sort((a, b) => a.ts - b.ts);
  const first = byTime[0] as Sent;
  const last = byTime.at(-1) as Sent;
  return {
    start,
    count: sent.length,
    sum,
    min: Math.min(...values),
    max: Math.max(...values),
    m2: values.reduce((a, b) => a + (b - sum / values.length) ** 2, 0),
    first: first.value,
    firstTs: first.ts,
    last: last.value,
    lastTs: last.ts,
    sketch,
  };
}

const sent = fc.record({
  ts: fc.integer({ min: 0, max: 5 }),
  value: fc.oneof(
    fc.double({ min: -1e6, max: 1e6, noNaN: true }),
    fc.constantFrom(20.5, 0.1, 0, -0, -3, 1e300, -1e300),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
  ),
});
/** For each device the readings that come with each writing of its row. */
const devices = fc.array(
  fc.array(fc.array(sent, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 4 }),
  {
    minLength: 1,
    maxLength: 6,
  },
);

test('whatever the order of rows and wherever it is cut, a roll-up has the bits of its final rows', () => {
  fc.assert(
    fc.property(devices, fc.infiniteStream(fc.nat()), (all, picks) => {
      const pick = (n: number): number => picks.next().value % n;
      const states = all.map((writings) => writings.map((_, i) => row(0, writings.slice(0, i + 1).flat())));
      const written = all.map(() => 0);
      let stored: RollupRow | null = null;
      let change = new Rollup(0);
      const cut = (): void => {
        if (stored !== null) {
          const whole = Rollup.decode(stored);
          whole.merge(change);
          stored = whole.encode();
        } else stored = change.encode();
        change = new Rollup(0);
      };
      for (;;) {
        const open = all.flatMap((writings, i) => ((written[i] as number) < writings.length ? [i] : []));
        if (open.length === 0) break;
        const i = open[pick(open.length)] as number;
        const at = written[i] as number;
        const now = states[i]?.[at] as Figures;
        change.replace(
          { site: 's', device: `d${i}` },
          now,
          at === 0 ? null : (states[i]?.[at - 1] as Figures),
        );
        written[i] = at + 1;
        if (pick(3) === 0) cut();
      }
      cut();

      const direct = new Rollup(0);
      const finals = states.map((list) => list.at(-1) as Figures);
      finals.forEach((final, i) => {
        direct.replace({ site: 's', device: `d${i}` }, final, null);
      });
      assert.deepEqual(stored, direct.encode());

      const found = stored as unknown as RollupRow;
      assert.equal(found.devices, all.length);
      assert.equal(found.count, all.flat(2).length);
      assert.equal(found.min, Math.min(...finals.map(({ min }) => min)) + 0);
      assert.equal(found.max, Math.max(...finals.map(({ max }) => max)) + 0);
      const firstTs = Math.min(...finals.map((final) => final.firstTs));
      const lastTs = Math.max(...finals.map((final) => final.lastTs));
      const firstOne = finals.findIndex((final) => final.firstTs === firstTs);
      const lastOne = finals.findLastIndex((final) => final.lastTs === lastTs);
      const zero = (value = Number.NaN): number => value + 0;
      assert.deepEqual([found.first, found.firstDevice], [zero(finals[firstOne]?.first), `s/d${firstOne}`]);
      assert.deepEqual([found.last, found.lastDevice], [zero(finals[lastOne]?.last), `s/d${lastOne}`]);
    }),
    { numRuns: 500 },
  );
});

test('the figures are those of all readings together', () => {
  const value = fc.oneof(fc.double({ min: 1, max: 1e6, noNaN: true }), fc.constant(1e5));
  fc.assert(
    fc.property(
      fc.array(fc.array(value, { minLength: 1, maxLength: 30 }), { minLength: 1, maxLength: 20 }),
      (all) => {
        const parts = [new Rollup(0), new Rollup(0)];
        all.forEach((values, i) => {
          const readings = values.map((one, ts) => ({ ts, value: one }));
          parts[i % 2]?.replace({ site: 's', device: `d${i}` }, row(0, readings), null);
        });
        const whole = Rollup.decode((parts[0] as Rollup).encode());
        if (all.length > 1) whole.merge(parts[1] as Rollup);
        const figures = whole.figures();
        const values = all.flat();
        const mean = values.reduce((a, b) => a + b, 0) / values.length;
        const squares = values.reduce((a, b) => a + (b - mean) ** 2, 0);
        const close = (a: number | null, b: number, scale: number): void =>
          assert.ok(a !== null && Math.abs(a - b) <= 1e-9 * Math.abs(scale), `${a} for ${b}`);
        close(figures.mean, mean, mean);
        if (values.length === 1) assert.equal(figures.stddev, null);
        else close(figures.stddev, Math.sqrt(squares / (values.length - 1)), mean);
        const sorted = values.sort((a, b) => a - b);
        for (const [q, found] of [
          [0.5, figures.p50],
          [0.9, figures.p90],
          [0.99, figures.p99],
        ] as const) {
          const exact = exactQuantile(sorted, q);
          assert.ok(Math.abs(found - exact) <= 0.0100001 * exact, `q${q}: ${found} for ${exact}`);
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('a small deviation around a large mean survives', () => {
  const whole = new Rollup(0);
  for (let i = 0; i < 100; i++) {
    const readings = [0, 1, 2, 3].map((ts) => ({ ts, value: 1e9 + (ts % 2 === 0 ? 0.5 : -0.5) }));
    whole.replace({ site: 's', device: `d${i}` }, row(0, readings), null);
  }
  assert.equal(whole.figures().mean, 1e9);
  assert.ok(Math.abs((whole.figures().stddev as number) - 0.5 * Math.sqrt(400 / 399)) < 1e-12);
});

test('taking back what was never added is refused', () => {
  const change = new Rollup(0);
  change.replace({ site: 's', device: 'd' }, row(0, [{ ts: 0, value: 1 }]), row(0, [{ ts: 0, value: 1 }]));
  assert.ok(change.rewrites);
  assert.throws(() => change.encode(), RangeError);
});

test('devices fall into the groups that their site and tags name', () => {
  const tags = [
    { match: 'plant-1/pump-*', tags: { line: 'a', kind: 'pump' } },
    { match: 'plant-1/pump-9', tags: { line: 'b' } },
    { match: '*/fan-(1)', tags: { kind: 'fan' } },
  ];
  const [fleet, site, line, both] = groupings(['fleet', 'site', 'line', 'site+kind'], tags);
  assert.equal(fleet?.groupOf('plant-1', 'x'), 'fleet');
  assert.equal(site?.groupOf('plant-1', 'x'), 'site=plant-1');
  assert.equal(line?.groupOf('plant-1', 'pump-1'), 'line=a');
  assert.equal(line?.groupOf('plant-1', 'pump-9'), 'line=b');
  assert.equal(line?.groupOf('plant-2', 'pump-1'), null);
  assert.equal(both?.groupOf('plant-1', 'pump-9'), 'site=plant-1/kind=pump');
  assert.equal(both?.groupOf('plant-2', 'fan-(1)'), 'site=plant-2/kind=fan');
  assert.equal(both?.groupOf('plant-2', 'fan-1'), null);
});

test('a definition changes with what decides who belongs, and with nothing else', () => {
  const tags = [{ match: 'a/*', tags: { line: 'a', kind: 'pump' } }];
  const of = (by: string, devices = tags): string | undefined => groupings([by], devices)[0]?.definition;
  assert.equal(of('site'), of('site', []));
  assert.equal(of('line'), of('line', [{ match: 'a/*', tags: { line: 'a', kind: 'fan' } }]));
  assert.notEqual(of('line'), of('line', [{ match: 'a/*', tags: { line: 'b', kind: 'pump' } }]));
  assert.notEqual(of('line'), of('line', [{ match: 'b/*', tags: { line: 'a', kind: 'pump' } }]));
  assert.notEqual(of('line'), of('kind'));
});

test('changes are gathered per group and window, from where a grouping saw everything', () => {
  const [fleet, site] = groupings(['fleet', 'site'], []) as [never, never];
  const changes = new RollupChanges([
    { grouping: fleet, since: Number.NEGATIVE_INFINITY },
    { grouping: site, since: 10_000 },
  ]);
  const reading = [{ ts: 0, value: 1 }];
  const series = (id: number, where: string) => ({ id, site: where, device: `d${id}`, metric: 't' });
  changes.row(0, series(1, 'a'), row(10_000, reading), null);
  for (const start of [10_000, 20_000]) {
    changes.row(1, series(1, 'a'), row(start, reading), null);
    changes.row(1, series(2, 'b'), row(start, reading), null);
  }
  changes.row(2, series(1, 'a'), row(60_000, reading), null);
  const seen = (): string[] =>
    changes
      .take()
      .map(({ group, level, change }) => `${group.name} ${level} ${change.start} ${change.encode().devices}`);
  assert.deepEqual(seen().sort(), [
    'fleet 1 10000 2',
    'fleet 1 20000 2',
    'fleet 2 60000 1',
    'site=a 1 20000 1',
    'site=a 2 60000 1',
    'site=b 1 20000 1',
  ]);
  assert.deepEqual(seen(), []);
});
