import type { LiveReading } from '@weir/api';

export interface NewestValue {
  readonly value: number;
  readonly unit: string | null;
  /** Event time, epoch milliseconds. */
  readonly ts: number;
  /** Arrival at the edge, epoch milliseconds; null when that was not told. */
  readonly at: number | null;
}

/** Answers are cached for so long then: newest values are to be at most 5 s old. */
export const CATCHING_UP_MS = 1_000;
/** Series kept at most; about 150 bytes each. */
const MOST_SERIES = 200_000;
const NONE: ReadonlyMap<string, NewestValue> = new Map();

/**
 * The newest value of each series, from the live feed: what is shown while the windows are behind. Kept only then,
 * because reading every line of the feed costs about a microsecond each.
 */
export class Newest {
  readonly #devices = new Map<string, Map<string, NewestValue>>();
  readonly #most: number;
  #series = 0;
  #active = false;

  constructor(most = MOST_SERIES) {
    this.#most = most;
  }

  /** Whether the windows are behind, so that these values are what is shown. */
  get active(): boolean {
    return this.#active;
  }
  set active(active: boolean) {
    this.#active = active;
    if (active) return;
    this.#devices.clear();
    this.#series = 0;
  }

  take({ site, device, metric, value, unit, ts, at }: LiveReading): void {
    if (!this.#active) return;
    const name = `${site}/${device}`;
    const metrics = this.#devices.get(name) ?? new Map<string, NewestValue>();
    const known = metrics.get(metric);
    if (known !== undefined && known.ts > ts) return;
    if (known === undefined) {
      // beyond the bound a series is shown as it is stored
      if (this.#series >= this.#most) return;
      this.#series++;
      this.#devices.set(name, metrics);
    }
    metrics.set(metric, { value, unit: unit ?? null, ts, at: at ?? null });
  }

  /** By metric; empty when nothing was heard, or the windows are not behind. */
  of(site: string, device: string): ReadonlyMap<string, NewestValue> {
    return this.#devices.get(`${site}/${device}`) ?? NONE;
  }
}

interface StoredValue {
  readonly metric: string;
  readonly unit: string | null;
  readonly value: number | null;
  /** RFC 3339. */
  readonly at: string | null;
}

/** A value as it is stored, or what was heard later. */
export function newerOf<T extends StoredValue>(stored: T, heard: ReadonlyMap<string, NewestValue>): T {
  const newer = heard.get(stored.metric);
  if (newer === undefined || (stored.at !== null && Date.parse(stored.at) >= newer.ts)) return stored;
  return {
    ...stored,
    value: newer.value,
    unit: newer.unit ?? stored.unit,
    at: new Date(newer.ts).toISOString(),
  };
}
