import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { listRollups, readRollups } from '@weir/connect-timescale';
import { atEnd, freeOffset, type Scope, spawnApp } from '@weir/testkit';
import { ROLLUP_LEVELS } from '@weir/topology';
import {
  type DeviceTags,
  groupings,
  type PlainWindow,
  type RollupRow,
  recompute,
  Sketch,
} from '@weir/windows';
import { Bench, random } from './testing.ts';

const OPTIONS = { outOfOrdernessMs: 2_000, allowedLatenessMs: 60_000 };
const SETTINGS = {
  WEIR_AGGREGATOR__OUT_OF_ORDERNESS: '2s',
  WEIR_AGGREGATOR__ALLOWED_LATENESS: '60s',
  WEIR_AGGREGATOR__IDLE_TIMEOUT: '2s',
  WEIR_AGGREGATOR__COMMIT_INTERVAL: '150ms',
  WEIR_KAFKA__SESSION_TIMEOUT: '6s',
};
const BY = ['fleet', 'site', 'line', 'site+line'];
const TAGS: readonly DeviceTags[] = [
  { match: '*/device-*', tags: { line: 'a' } },
  { match: '*/device-*5', tags: { line: 'b' } },
];

/** Groups of a device, written out by hand. */
function groupsOf(site: string, device: string): string[] {
  const line = device.endsWith('5') ? 'b' : 'a';
  const tagged = device.startsWith('device-') ? [`line=${line}`, `site=${site}/line=${line}`] : [];
  return ['fleet', `site=${site}`, ...tagged];
}

function configFile(scope: Scope, by: readonly string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-rollups-'));
  atEnd(scope, async () => rmSync(folder, { recursive: true }));
  const file = join(folder, 'weir.yaml');
  writeFileSync(file, JSON.stringify({ devices: TAGS, rollups: { by } }));
  return file;
}

/** One second of a fleet on three sites: several metrics, out of order, late, too late, repeated. */
function second(bench: Bench, draw: () => number, t: number): { device: string; line: string }[] {
  const out: { device: string; line: string }[] = [];
  for (let i = 0; i < 48; i++) {
    const device = i % 8 === 7 ? `gateway-${i}` : `device-${i % 40}`;
    const ts = t + Math.floor(draw() * 1_000) - (draw() < 0.1 ? 3_000 : 0) - (draw() < 0.05 ? 45_000 : 0);
    const value = (draw() < 0.01 ? 1e15 : 20) + 10 * draw();
    const values = i % 3 === 0 ? `"values":{"a":${value},"b":${-value * 1e-9}}` : `"values":{"a":${value}}`;
    const publish = {
      device,
      site: `plant-${i % 3}`,
      at: t + i,
      mid: 1,
      payload: `{"ts":${ts},"seq":${t + i},${values}}`,
    };
    out.push({ device, line: bench.line(publish) });
    if (draw() < 0.05) out.push({ device, line: bench.line({ ...publish, at: t + i + 30 }) });
    if (draw() < 0.02) out.push(out.at(-1) as { device: string; line: string });
    if (draw() < 0.01)
      out.push({
        device,
        line: bench.line({ ...publish, payload: `{"ts":${t - 90_000},"seq":${t + i + 1},"value":1}` }),
      });
  }
  return out;
}

/** The float nearest to the exact sum, by integers: every float is a whole multiple of 2^-1074. */
function exactSum(values: readonly number[]): number {
  const view = new DataView(new ArrayBuffer(8));
  let sum = 0n;
  for (const value of values) {
    view.setFloat64(0, value);
    const bits = view.getBigUint64(0) & ((1n << 63n) - 1n);
    const exponent = bits >> 52n;
    const fraction = bits & ((1n << 52n) - 1n);
    const magnitude = exponent === 0n ? fraction : (fraction | (1n << 52n)) << (exponent - 1n);
    sum += value < 0 ? -magnitude : magnitude;
  }
  const magnitude = sum < 0n ? -sum : sum;
  const shift = BigInt(Math.max(0, magnitude.toString(2).length - 53));
  const unit = 1n << shift;
  const twice = (magnitude % unit) * 2n;
  let mantissa = magnitude / unit;
  if (twice > unit || (twice === unit && mantissa % 2n === 1n)) mantissa++;
  const scale = Number(shift) - 1_074;
  const half = Math.floor(scale / 2);
  return Number(mantissa) * 2 ** half * 2 ** (scale - half) * (sum < 0n ? -1 : 1);
}

/**
 * Compares every roll-up of the groups with a recomputation from the log by plain grouping.
 * @param since windows that start at or before it need not be there, but for the fleet
 */
async function assertRollups(bench: Bench, since = Number.NEGATIVE_INFINITY): Promise<number> {
  const wanted = new Map<string, PlainWindow[]>();
  for (const lines of bench.lines) {
    for (const window of recompute(lines, OPTIONS).windows.values()) {
      if (window.level === '1s') continue;
      for (const group of groupsOf(window.site, window.device)) {
        const key = `${group} ${window.metric} ${window.level} ${window.start}`;
        wanted.set(key, [...(wanted.get(key) ?? []), window]);
      }
    }
  }
  const known = groupings(BY, TAGS);
  const listed = await listRollups(
    bench.database,
    known.map(({ definition }) => definition),
    null,
    1_000,
  );
  assert.deepEqual(
    listed.map(({ name, metric }) => `${name} ${metric}`).sort(),
    [...new Set([...wanted.keys()].map((key) => key.split(' ').slice(0, 2).join(' ')))].sort(),
  );
  let checked = 0;
  for (const { name, metric, groupedBy } of listed) {
    const definition = known.find(({ by }) => by === groupedBy)?.definition as string;
    for (const level of ROLLUP_LEVELS) {
      const answer = await readRollups(bench.database, {
        ...{ definition, group: name, metric, level, limit: 100_000 },
        ...{ from: new Date(0), to: new Date(8e15) },
      });
      for (const rollup of answer?.windows ?? []) {
        const key = `${name} ${metric} ${level.name} ${rollup.start}`;
        const rows = wanted.get(key);
        assert.ok(rows !== undefined, `${key} should not exist`);
        wanted.delete(key);
        checked++;
        compare(key, rollup.encode(), rollup.figures(), rows);
      }
    }
  }
  const missing = [...wanted.keys()].filter(
    (key) => key.startsWith('fleet ') || Number(key.split(' ')[3]) > since,
  );
  assert.deepEqual(missing, []);
  return checked;
}

function compare(
  key: string,
  row: RollupRow,
  figures: { readonly sum: number | null; readonly mean: number | null; readonly stddev: number | null },
  rows: readonly PlainWindow[],
): void {
  const byFirst = [...rows].sort((a, b) => a.firstTs - b.firstTs || compareNames(a, b));
  const byLast = [...rows].sort((a, b) => b.lastTs - a.lastTs || compareNames(b, a));
  const values = rows.flatMap(({ sorted }) => sorted);
  const sketch = new Sketch();
  for (const value of values) sketch.add(value);
  const sum = exactSum(rows.map((one) => one.sum));
  assert.deepEqual(
    [row.devices, row.count, figures.sum, row.sum[0], row.min, row.max],
    [rows.length, values.length, sum, sum, Math.min(...values), Math.max(...values)],
    key,
  );
  const [first, last] = [byFirst[0], byLast[0]] as [PlainWindow, PlainWindow];
  assert.deepEqual([row.first, row.firstTs], [first.first, first.firstTs], key);
  assert.deepEqual([row.last, row.lastTs], [last.last, last.lastTs], key);
  assert.equal(row.sketch.toString('hex'), sketch.encode().toString('hex'), key);
  const mean = sum / values.length;
  assert.equal(figures.mean, mean, key);
  if (values.length < 2) assert.equal(figures.stddev, null, key);
  else {
    const squares = values.reduce((total, value) => total + (value - mean) ** 2, 0);
    const deviation = Math.sqrt(squares / (values.length - 1));
    const scale = Math.max(...values.map(Math.abs));
    assert.ok(Math.abs((figures.stddev ?? Number.NaN) - deviation) <= 1e-9 * scale, `${key} stddev`);
  }
}

const nameOf = ({ site, device }: PlainWindow): string => `${site}/${device}`;
const compareNames = (a: PlainWindow, b: PlainWindow): number => (nameOf(a) < nameOf(b) ? -1 : 1);

test('roll-ups of three aggregators equal plain grouping of the log, through kills, late data and moves', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const draw = random(5);
  const env = { ...bench.space.env, ...SETTINGS, WEIR_CONFIG: configFile(t, BY) };
  const start = Math.floor(Date.now() / 1_000) * 1_000 - 300_000;
  const first = await spawnApp(t, 'aggregator', env);
  const another = async () =>
    spawnApp(t, 'aggregator', { ...env, WEIR_PORTS__OFFSET: String(await freeOffset(t)) });
  let at = start;
  const more = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds; i++, at += 1_000) await bench.send(second(bench, draw, at));
  };
  await more(40);
  const [two] = await Promise.all([another(), another()]);
  await more(60);
  await two.kill('SIGKILL');
  await more(40);
  await two.restart();
  await more(20);
  await first.kill('SIGKILL');
  await more(40);
  await first.restart();
  await bench.folded();
  const { rows, late } = await bench.assertExact(OPTIONS);
  const checked = await assertRollups(bench);
  assert.ok(checked > 500 && late > 50, JSON.stringify({ checked, late }));
  t.diagnostic(`${checked} roll-ups of ${rows} device rows, ${late} readings too late`);
});

test('a grouping that is new begins after what was written, and is exact from there on', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const draw = random(6);
  const env = { ...bench.space.env, ...SETTINGS };
  const start = Math.floor(Date.now() / 60_000) * 60_000 - 300_000;
  const app = await spawnApp(t, 'aggregator', { ...env, WEIR_CONFIG: configFile(t, ['fleet']) });
  let at = start;
  const more = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds; i++, at += 1_000) await bench.send(second(bench, draw, at));
  };
  await more(75);
  await bench.folded();
  await app.stop();
  await app.restart({ WEIR_CONFIG: configFile(t, BY) });
  // Late readings of these seconds rewrite rows that the new groupings have never seen.
  await more(75);
  await bench.folded();
  await bench.assertExact(OPTIONS);
  const checked = await assertRollups(bench, start + 75_000);
  assert.ok(checked > 100, `${checked} roll-ups`);
});
