import { Arrivals, WindowEngine } from '@weir/windows';
import type { EngineRun } from './engine.ts';

/** One process of `engine.ts`: the number of series as argument, an EngineRun as JSON on standard output. */
const OPTIONS = {
  outOfOrdernessMs: 2_000,
  allowedLatenessMs: 600_000,
  idleTimeoutMs: 10_000,
  dedupHorizonMs: 120_000,
  dedupCount: 256,
};
const T0 = 1_700_000_000_000 - (1_700_000_000_000 % 3_600_000);
/** Fills the horizon of duplicates and compiles the code. */
const WARM_UP_SECONDS = 130;
const MEASURED = 6_000_000;

const series = Number(process.argv[2]);
const engine = new WindowEngine(OPTIONS);
const arrivals = new Arrivals(OPTIONS.dedupCount);
for (let i = 0; i < series; i++) {
  engine.addSeries(engine.addDevice());
  arrivals.make();
}

let rows = 0;
let sum = 0;
let duplicates = 0;
const row = engine.windows.reader();

function run(from: number, to: number): void {
  for (let second = from; second < to; second++) {
    const clock = T0 + second * 1_000;
    const since = clock - OPTIONS.dedupHorizonMs;
    for (let one = 0; one < series; one++) {
      // Each device in its own phase of the second; digits as a noisy sensor has them.
      const ts = clock + (one % 1_000);
      const noise = (Math.imul(second ^ Math.imul(one, 0x9e3779b1), 0x85ebca6b) >>> 12) % 10_000;
      if (arrivals.has(one, ts, second, since)) duplicates++;
      arrivals.put(one, ts, second, clock, since);
      engine.fold(one, one, ts, 20 + noise / 1_000, clock);
    }
    engine.neededRows(clock, false);
    engine.collect((_level, _series, window) => {
      rows++;
      row.window = window;
      sum += row.sum;
    });
  }
}

const warm = Math.max(WARM_UP_SECONDS, Math.ceil(1_000_000 / series));
const seconds = Math.ceil(MEASURED / series);
run(0, warm);
rows = 0;
const before = process.cpuUsage();
const started = performance.now();
run(warm, warm + seconds);
const elapsed = performance.now() - started;
const cpu = process.cpuUsage(before);
const readings = seconds * series;
if (duplicates !== 0 || !(sum > 0)) throw new Error('the engine lost readings');
const result: EngineRun = {
  series,
  readings,
  readingsPerSecond: (readings * 1_000) / elapsed,
  cpuNanoseconds: ((cpu.user + cpu.system) * 1_000) / readings,
  rows: rows / readings,
  bytesPerSeries: (engine.windows.bytes + engine.windows.sketches.bytes + arrivals.bytes) / series,
  rssMiB: process.memoryUsage.rss() / 2 ** 20,
};
process.stdout.write(JSON.stringify(result));
