import type { Letter } from './letter.ts';
import type { PlanSample, ReplayPlan } from './tasks.ts';

/** What is to be done with a letter. */
export type Verdict =
  | { readonly kind: 'send'; readonly destination: string; readonly readings: number | null }
  | { readonly kind: 'skip' | 'park' | 'refuse'; readonly why: string };

const SAMPLES = 5;
const ERRORS = 20;

/**
 * The part of a verdict that the index alone decides; null: look at the bytes.
 * @param maxReplays a letter that was sent so often, and came back each time, is parked
 */
export function guard(
  { status, replayCount, returnedCount, bytesRemovedAt }: Letter,
  maxReplays: number,
): Exclude<Verdict, { kind: 'send' }> | null {
  if (status === 'purged' || bytesRemovedAt !== null)
    return { kind: 'refuse', why: 'its bytes were purged or have expired' };
  if (status === 'replayed' && returnedCount < replayCount)
    return { kind: 'skip', why: 'it was sent before and has not come back' };
  if (replayCount >= maxReplays)
    return { kind: 'park', why: `it was sent ${replayCount} times, and the limit is ${maxReplays}` };
  return null;
}

/** Adds up a plan, letter by letter. */
export class PlanSum {
  #letters = 0;
  readonly #kinds = { send: 0, skip: 0, park: 0, refuse: 0 };
  #readings = 0;
  #replayedBefore = 0;
  readonly #devices = new Set<string>();
  readonly #destinations = new Map<string, number>();
  readonly #errors = new Map<string, number>();
  readonly #samples: PlanSample[] = [];

  add(letter: Letter, verdict: Verdict): void {
    const { id, reason, site, device, replayCount } = letter;
    this.#letters++;
    this.#kinds[verdict.kind]++;
    if (verdict.kind === 'refuse') count(this.#errors, verdict.why);
    if (verdict.kind !== 'send') return;
    const { destination, readings } = verdict;
    count(this.#destinations, destination);
    this.#readings += readings ?? 0;
    if (replayCount > 0) this.#replayedBefore++;
    if (device !== '') this.#devices.add(`${site}/${device}`);
    if (this.#samples.length < SAMPLES)
      this.#samples.push({ letter: id, reason, site, device, destination, readings, replayCount });
  }

  /** @param rate letters a second */
  plan(rate: number): ReplayPlan {
    return {
      letters: this.#letters,
      ...this.#kinds,
      readings: this.#readings,
      replayedBefore: this.#replayedBefore,
      devices: this.#devices.size,
      destinations: ranked(this.#destinations).map(([destination, letters]) => ({ destination, letters })),
      errors: ranked(this.#errors)
        .slice(0, ERRORS)
        .map(([why, letters]) => ({ why, letters })),
      samples: this.#samples,
      seconds: this.#kinds.send / rate,
    };
  }
}

function count(map: Map<string, number>, key: string): void {
  map.set(key, (map.get(key) ?? 0) + 1);
}

const ranked = (map: ReadonlyMap<string, number>): [string, number][] =>
  [...map].sort(([a, m], [b, n]) => n - m || a.localeCompare(b));
