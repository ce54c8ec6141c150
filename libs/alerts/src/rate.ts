/** Readings remembered a span, at most; the oldest one used lies at most a sixteenth of a span too far back. */
const SAMPLES = 16;

/** Event time and value by turns, oldest first: at most 18 readings. */
export type RateMemory = readonly number[];

/**
 * Change from the newest remembered reading that is at least `over` old to this one, per millisecond. Of a span, one
 * reading for each sixteenth of it is remembered. Null after the beginning and after a gap longer than two spans, until
 * a whole span is known again.
 * @param ts newer than every remembered one, epoch milliseconds
 */
export function rateOfChange(
  memory: RateMemory,
  over: number,
  ts: number,
  value: number,
): { readonly perMs: number | null; readonly memory: RateMemory } {
  const newest = memory.at(-2);
  if (newest === undefined || ts - newest > 2 * over) return { perMs: null, memory: [ts, value] };
  let first = 0;
  while (first + 2 < memory.length && ts - (memory[first + 2] as number) >= over) first += 2;
  const kept = memory.slice(first);
  const [from = ts, before = value] = kept;
  const change = (value - before) / (ts - from);
  return {
    perMs: ts - from >= over && Number.isFinite(change) ? change : null,
    memory: ts - newest >= over / SAMPLES ? [...kept, ts, value] : kept,
  };
}
