import type { DeviceClass } from './schema.ts';

const STEPS_AT_MOST = 100_000;
const STEP_MS = 100;

/** Factor of the rate of a class at `ms` from the start. */
export function factorAt({ ramp, diurnal, bursts }: DeviceClass, ms: number): number {
  let factor = 1;
  const next = ramp.findIndex(({ at }) => at > ms);
  const before = ramp[next < 0 ? ramp.length - 1 : next - 1];
  const after = next < 0 ? undefined : ramp[next];
  if (before === undefined) factor *= after?.factor ?? 1;
  else if (after === undefined) factor *= before.factor;
  else factor *= before.factor + ((after.factor - before.factor) * (ms - before.at)) / (after.at - before.at);
  if (diurnal !== undefined) {
    const { low, peak, period } = diurnal;
    factor *= low + (1 - low) * (0.5 + 0.5 * Math.cos((2 * Math.PI * (ms - peak)) / period));
  }
  for (const burst of bursts) {
    const since = ms - burst.from;
    const into = burst.every === undefined ? since : since % burst.every;
    if (since >= 0 && into < burst.for) factor *= burst.factor;
  }
  return factor;
}

/**
 * The course of a class as the integral of its factor, so that every device finds the time of its next reading exactly
 * and at the same cost, however the rate changes.
 */
export class Curve {
  /** Integral up to the end of the run, seconds at factor 1. */
  readonly total: number;
  readonly #flat: boolean;
  readonly #stepMs: number;
  /** Integral up to the start of each step, seconds. */
  readonly #sums: Float64Array;

  constructor(spec: DeviceClass, durationMs: number) {
    this.#flat = spec.ramp.length === 0 && spec.bursts.length === 0 && spec.diurnal === undefined;
    const steps = this.#flat ? 1 : Math.min(STEPS_AT_MOST, Math.ceil(durationMs / STEP_MS));
    this.#stepMs = durationMs / steps;
    this.#sums = new Float64Array(steps + 1);
    for (let i = 0; i < steps; i++) {
      const middle = (i + 0.5) * this.#stepMs;
      const factor = this.#flat ? 1 : factorAt(spec, middle);
      this.#sums[i + 1] = (this.#sums[i] as number) + (factor * this.#stepMs) / 1000;
    }
    this.total = this.#sums[steps] as number;
  }

  /**
   * Milliseconds from the start at which the integral reaches `seconds`; Infinity past the end.
   * @param from where to begin to look; answers go up, so the last answer's step will do
   */
  timeOf(seconds: number, from: { step: number }): number {
    if (seconds >= this.total) return Number.POSITIVE_INFINITY;
    if (this.#flat) return seconds * 1000;
    let { step } = from;
    while ((this.#sums[step + 1] as number) <= seconds) step++;
    from.step = step;
    const low = this.#sums[step] as number;
    return this.#stepMs * (step + (seconds - low) / ((this.#sums[step + 1] as number) - low));
  }
}
