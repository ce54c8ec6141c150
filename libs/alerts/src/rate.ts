/** Readings remembered a span, at most; the oldest one used lies at most a sixteenth of a span too far back. */
const SAMPLES = 16;

/** Event time and value by turns, oldest first: at most 18 readings. */
export type RateMemory = readonly number[];

/** Whether a reading at `ts` is to be remembered. */
export function isRemembered(memory: RateMemory, over: number, ts: number): boolean {
  const newest = memory.at(-2);
  return newest === undefined || ts - newest >= over / SAMPLES;
}

/** Where the newest remembered reading stands that is at least `over` old; the oldest when none is. */
function firstOf(memory: RateMemory, over: number, ts: number): number {
  let first = 0;
  while (first + 2 < memory.length && ts - (memory[first + 2] as number) >= over) first += 2;
  return first;
}

/**
 * Change from the newest remembered reading that is at least `over` old to this one, per millisecond; null when none is,
 * or after a gap longer than two spans.
 * @param ts newer than every remembered one, epoch milliseconds
 */
export function changePerMs(memory: RateMemory, over: number, ts: number, value: number): number | null {
  const newest = memory.at(-2);
  if (newest === undefined || ts - newest > 2 * over) return null;
  const first = firstOf(memory, over, ts);
  const from = memory[first] as number;
  const change = (value - (memory[first + 1] as number)) / (ts - from);
  return ts - from >= over && Number.isFinite(change) ? change : null;
}

/**
 * `changePerMs`, and what is remembered behind it: of a span, one reading for each sixteenth of it. After a gap longer
 * than two spans a whole span has to be known again.
 */
export function rateOfChange(
  memory: RateMemory,
  over: number,
  ts: number,
  value: number,
): { readonly perMs: number | null; readonly memory: RateMemory } {
  const newest = memory.at(-2);
  if (newest === undefined || ts - newest > 2 * over) return { perMs: null, memory: [ts, value] };
  const kept = memory.slice(firstOf(memory, over, ts));
  return {
    perMs: changePerMs(memory, over, ts, value),
    memory: isRemembered(memory, over, ts) ? [...kept, ts, value] : kept,
  };
}
