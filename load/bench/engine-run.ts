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
/** Digits as a noisy sensor has them (the low bits of a multiplicative hash). */
const NOISE = Float64Array.from({ length: 4_096 }, (_, i) => {
  const noise = Math.imul(Math.imul(i + 1, 0x9e3779b1) >>> 7, 0x85ebca6b) >>> 12;
  return 20 + (noise % 10_000) / 1_000;
});

const series = Number(process.argv[2]);

/** A fresh engine in full run; `identities`: readings have numbers, and repetitions are looked for. */
function measure(identities: boolean): Omit<EngineRun, 'series' | 'withIdentities'> {
  const engine = new WindowEngine(OPTIONS);
  const arrivals = new Arrivals(OPTIONS.dedupCount);
  for (let i = 0; i < series; i++) {
    engine.addSeries(engine.addDevice());
    arrivals.make();
  }
  let rows = 0;
  let late = 0;
  let duplicates = 0;
  const run = (from: number, to: number): void => {
    for (let second = from; second < to; second++) {
      const clock = T0 + second * 1_000;
      const since = clock - OPTIONS.dedupHorizonMs;
      for (let one = 0; one < series; one++) {
        // Each device in its own phase of the second.
        const ts = clock + (one % 1_000);
        if (identities) {
          if (arrivals.has(one, ts, second, since)) duplicates++;
          arrivals.put(one, ts, second, clock, since);
        }
        if (engine.fold(one, one, ts, NOISE[(7 * one + 13 * second) & 4_095] as number, clock) === 0) late++;
      }
      engine.neededRows(clock, false);
      engine.collect(() => {
        rows++;
      });
    }
  };
  const warm = Math.max(WARM_UP_SECONDS, Math.ceil(1_000_000 / series));
  const seconds = Math.ceil(MEASURED / series);
  const readings = seconds * series;
  run(0, warm);
  rows = 0;
  const before = process.cpuUsage();
  const started = performance.now();
  run(warm, warm + seconds);
  const elapsed = performance.now() - started;
  const cpu = process.cpuUsage(before);
  // One row for each reading, and those of the windows above.
  if (late > 0 || duplicates > 0 || rows < readings) throw new Error('the engine lost readings');
  return {
    readings,
    readingsPerSecond: (readings * 1_000) / elapsed,
    cpuNanoseconds: ((cpu.user + cpu.system) * 1_000) / readings,
    rows: rows / readings,
    bytesPerSeries: (engine.windows.bytes + engine.windows.sketches.bytes + arrivals.bytes) / series,
  };
}

const windows = measure(false);
const withIdentities = measure(true);
const result: EngineRun = { series, ...windows, withIdentities };
process.stdout.write(JSON.stringify(result));
