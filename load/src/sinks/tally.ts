import { Bits } from '../measure/bits.ts';
import type { SentDevice } from '../open/send.ts';

export const SINKS = ['kafka', 'rabbitmq', 'archive', 'windows'] as const;
export type SinkName = (typeof SINKS)[number];

/** What one far end of the pipeline has of what was sent. */
export interface SinkReport {
  /** `publishes`: a reading with all its metrics counts once; `values`: each metric counts. */
  readonly unit: 'publishes' | 'values';
  /** Distinct ones that were found. */
  readonly found: number;
  /** Acknowledged and not found. */
  readonly lost: number;
  /** Found once more. */
  readonly duplicates: number;
  /** Found behind one of the same device with a higher number; null where there is no order to see. */
  readonly reordered: number | null;
  /** Found, and never sent by this run. */
  readonly foreign: number;
  /** Why the figures may be wrong; null when they are whole. */
  readonly incomplete: string | null;
  /** What it keeps of this run, bytes; null where nobody can tell. */
  readonly bytes: number | null;
  /** How long it took to read it, seconds. */
  readonly seconds: number;
}

/** Name of a device as it stands in an envelope, between the quotes. */
export const deviceKey = (site: string, device: string): string => `${site}","device":"${device}`;

/** Numbers of all devices, by the names that stand in the sinks. */
export class Register {
  readonly size: number;
  readonly #ids: ReadonlyMap<string, number>;

  constructor(devices: readonly Pick<SentDevice, 'site' | 'name'>[]) {
    this.size = devices.length;
    this.#ids = new Map(devices.map(({ site, name }, id) => [deviceKey(site, name), id]));
  }

  /** −1: not of this run. */
  idOf(key: string): number {
    return this.#ids.get(key) ?? -1;
  }
}

/** Counts what comes past of every device: a bit for each number, so its memory is known before. */
export class Tally {
  readonly #seen: (Bits | undefined)[][];
  readonly #last: Float64Array[];
  #duplicates = 0;
  #reordered = 0;

  /** @param slots how many values of one number count apart: metrics, or 1 */
  constructor({ size }: Register, slots = 1) {
    this.#seen = Array.from({ length: slots }, () => Array.from({ length: size }));
    this.#last = Array.from({ length: slots }, () => new Float64Array(size));
  }

  take(id: number, seq: number, slot = 0): void {
    const all = this.#seen[slot] as (Bits | undefined)[];
    let seen = all[id];
    if (seen === undefined) {
      seen = new Bits();
      all[id] = seen;
    }
    if (!seen.add(seq)) {
      this.#duplicates++;
      return;
    }
    const last = this.#last[slot] as Float64Array;
    if (seq < (last[id] as number)) this.#reordered++;
    else last[id] = seq;
  }

  /** Distinct numbers of a device. */
  countOf(id: number, slot = 0): number {
    return this.#seen[slot]?.[id]?.count ?? 0;
  }

  /** @param slotsOf how many slots a device uses */
  report(
    devices: readonly SentDevice[],
    unit: SinkReport['unit'],
    seconds: number,
    incomplete: string | null,
    slotsOf: (id: number) => number = () => 1,
  ): SinkReport {
    let found = 0;
    let lost = 0;
    let foreign = 0;
    const nothing = new Bits();
    for (const [id, { sent, acknowledged }] of devices.entries())
      for (let slot = 0; slot < slotsOf(id); slot++) {
        const seen = this.#seen[slot]?.[id] ?? nothing;
        found += seen.count;
        lost += acknowledged.missingFrom(seen);
        foreign += seen.missingFrom(sent);
      }
    return {
      unit,
      found,
      lost,
      duplicates: this.#duplicates,
      reordered: this.#reordered,
      foreign,
      incomplete,
      bytes: null,
      seconds,
    };
  }
}
