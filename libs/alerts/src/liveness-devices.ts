import {
  DEFAULT_THRESHOLD,
  deviationsFor,
  ENOUGH,
  HISTORY,
  type Rhythm,
  rhythmOf,
  silenceFor,
} from './phi.ts';

/** What of a device outlives a restart. */
export interface KeptDevice {
  readonly site: string;
  readonly device: string;
  readonly edge: string;
  /** Epoch milliseconds, by the clock of the edge. */
  readonly lastHeard: number;
  /** Its intervals, oldest first, two bytes each. */
  readonly history: Buffer;
}

interface Site {
  readonly name: string;
  readonly devices: Map<string, number>;
}

const USED = 1;
/** An observation says that it is silent. */
const SUSPECT = 2;
const UNSAVED = 4;

/** Intervals are kept as logarithms in 16 bits: 1 ms to 49 days, within 0.03 %. */
const CODES_PER_OCTAVE = 2_048;
const encode = (ms: number): number =>
  Math.min(0xffff, Math.round(Math.log2(Math.max(1, ms)) * CODES_PER_OCTAVE));
const decode = (code: number): number => 2 ** (code / CODES_PER_OCTAVE);

/** Up to here the rhythm is worked out with every interval, then with every eighth. */
const EARLY = 16;
/** A rhythm that differs by more than this from the saved one is saved. */
const WORTH_SAVING = 0.25;
const SAVED_AT_LEAST_MS = 6 * 3_600_000;
const ABSURD = deviationsFor(DEFAULT_THRESHOLD);
const FIRST_SIZE = 1_024;

/**
 * Everything that is known of each device, in columns: 165 bytes a device beside its name, whatever it sends. A slot
 * is the number of a device; it stays the same for as long as the device is known.
 */
export class DeviceColumns {
  /** Epoch milliseconds, by the clock of `edge`. */
  lastHeard = new Float64Array(FIRST_SIZE);
  /** Number of the edge that heard it last. */
  edge = new Uint16Array(FIRST_SIZE);
  period = new Float32Array(FIRST_SIZE);
  deviation = new Float32Array(FIRST_SIZE);
  /** Slots ever used: those at or above are free. */
  size = 0;
  /** Devices that were not taken in because as many as may are known. */
  refused = 0;
  readonly #max: number;
  #history = new Uint16Array(FIRST_SIZE * HISTORY);
  /** Intervals known, at most `HISTORY`. */
  #count = new Uint8Array(FIRST_SIZE);
  #next = new Uint8Array(FIRST_SIZE);
  /** An interval too long for the rhythm, until the next one tells whether the rhythm has changed; 0: none. */
  #odd = new Float32Array(FIRST_SIZE);
  #flags = new Uint8Array(FIRST_SIZE);
  #savedPeriod = new Float32Array(FIRST_SIZE);
  #savedAt = new Float64Array(FIRST_SIZE);
  readonly #names: string[] = [];
  readonly #siteOf: Site[] = [];
  readonly #sites = new Map<string, Site>();
  readonly #free: number[] = [];
  readonly #unsaved: number[] = [];
  readonly #scratch = new Float64Array(HISTORY);

  constructor(maxDevices: number) {
    this.#max = maxDevices;
  }

  get known(): number {
    return this.size - this.#free.length;
  }
  /** The devices of a site by name; for many look-ups of one site. */
  site(name: string): Site {
    let site = this.#sites.get(name);
    if (site === undefined) {
      site = { name, devices: new Map() };
      this.#sites.set(name, site);
    }
    return site;
  }
  /** The site of a device whose site nobody told; undefined when none or several have a device of this name. */
  onlySiteOf(device: string): Site | undefined {
    let only: Site | undefined;
    for (const site of this.#sites.values()) {
      if (!site.devices.has(device)) continue;
      if (only !== undefined) return undefined;
      only = site;
    }
    return only;
  }
  find(site: string, device: string): number | undefined {
    return this.#sites.get(site)?.devices.get(device);
  }
  /** @returns undefined when no more devices may be known */
  add(site: Site, device: string, edge: number, at: number): number | undefined {
    if (this.known >= this.#max) {
      this.refused++;
      return undefined;
    }
    const slot = this.#free.pop() ?? this.size++;
    if (slot >= this.#flags.length) this.#grow();
    this.#flags[slot] = USED;
    this.#count[slot] = 0;
    this.#next[slot] = 0;
    this.#odd[slot] = 0;
    this.#savedPeriod[slot] = 0;
    this.#savedAt[slot] = at;
    this.edge[slot] = edge;
    this.lastHeard[slot] = at;
    this.#names[slot] = device;
    this.#siteOf[slot] = site;
    site.devices.set(device, slot);
    return slot;
  }
  remove(slot: number): void {
    const site = this.#siteOf[slot] as Site;
    site.devices.delete(this.nameOf(slot));
    if (site.devices.size === 0) this.#sites.delete(site.name);
    this.#names[slot] = '';
    this.#flags[slot] = 0;
    this.#free.push(slot);
  }

  isUsed(slot: number): boolean {
    return ((this.#flags[slot] as number) & USED) !== 0;
  }
  /** Enough is known of it to judge its silence. */
  isJudged(slot: number): boolean {
    return (this.#count[slot] as number) >= ENOUGH;
  }
  isSuspect(slot: number): boolean {
    return ((this.#flags[slot] as number) & SUSPECT) !== 0;
  }
  setSuspect(slot: number, suspect: boolean): void {
    const flags = this.#flags[slot] as number;
    this.#flags[slot] = suspect ? flags | SUSPECT : flags & ~SUSPECT;
    this.#markUnsaved(slot);
  }
  nameOf(slot: number): string {
    return this.#names[slot] as string;
  }
  siteOf(slot: number): string {
    return (this.#siteOf[slot] as Site).name;
  }
  intervals(slot: number): number {
    return this.#count[slot] as number;
  }
  rhythm(slot: number): Rhythm {
    return { period: this.period[slot] as number, deviation: this.deviation[slot] as number };
  }

  /**
   * Learns an interval. One that the rhythm makes absurd is an outage and is not learned, as in Akka. Two of them with
   * nothing regular between are a new rhythm: what was known is forgotten.
   */
  learn(slot: number, interval: number): void {
    if (this.isJudged(slot)) {
      const period = this.period[slot] as number;
      if (interval > silenceFor(ABSURD, this.rhythm(slot))) {
        const before = this.#odd[slot] as number;
        this.#odd[slot] = interval;
        if (before === 0) return;
        this.#count[slot] = 0;
        this.#next[slot] = 0;
        this.#push(slot, before);
      } else if (interval >= period / 2) {
        // the short ones within a burst say nothing about the rhythm
        this.#odd[slot] = 0;
      }
    }
    if (this.#count[slot] === 0) this.#odd[slot] = 0;
    this.#push(slot, interval);
  }

  #push(slot: number, interval: number): void {
    const next = this.#next[slot] as number;
    this.#history[slot * HISTORY + next] = encode(interval);
    this.#next[slot] = (next + 1) % HISTORY;
    const count = Math.min(HISTORY, (this.#count[slot] as number) + 1);
    this.#count[slot] = count;
    if (count < ENOUGH || (count > EARLY && next % 8 !== 0)) return;
    this.#work(slot, count);
    const period = this.period[slot] as number;
    const saved = this.#savedPeriod[slot] as number;
    const age = (this.lastHeard[slot] as number) - (this.#savedAt[slot] as number);
    if (Math.abs(period - saved) > WORTH_SAVING * saved || age > SAVED_AT_LEAST_MS) this.#markUnsaved(slot);
  }
  #work(slot: number, count: number): void {
    const intervals = this.#scratch.subarray(0, count);
    for (let i = 0; i < count; i++) intervals[i] = decode(this.#history[slot * HISTORY + i] as number);
    const { period, deviation } = rhythmOf(intervals);
    this.period[slot] = period;
    this.deviation[slot] = deviation;
  }

  #markUnsaved(slot: number): void {
    if (((this.#flags[slot] as number) & UNSAVED) !== 0) return;
    this.#flags[slot] = (this.#flags[slot] as number) | UNSAVED;
    this.#unsaved.push(slot);
  }
  /** At most `limit` slots whose device is to be saved; each is given out once. */
  takeUnsaved(limit: number): number[] {
    const taken = this.#unsaved.splice(0, limit).filter((slot) => this.isUsed(slot));
    for (const slot of taken) {
      this.#flags[slot] = (this.#flags[slot] as number) & ~UNSAVED;
      this.#savedPeriod[slot] = this.period[slot] as number;
      this.#savedAt[slot] = this.lastHeard[slot] as number;
    }
    return taken;
  }
  /** To be saved after all: writing it failed. */
  giveBack(slots: readonly number[]): void {
    for (const slot of slots) if (this.isUsed(slot)) this.#markUnsaved(slot);
  }

  history(slot: number): Buffer {
    const count = this.#count[slot] as number;
    const first = count < HISTORY ? 0 : (this.#next[slot] as number);
    const kept = Buffer.alloc(count * 2);
    for (let i = 0; i < count; i++) {
      kept.writeUInt16LE(this.#history[slot * HISTORY + ((first + i) % HISTORY)] as number, i * 2);
    }
    return kept;
  }
  setHistory(slot: number, kept: Buffer): void {
    const count = Math.min(HISTORY, kept.length >> 1);
    for (let i = 0; i < count; i++) this.#history[slot * HISTORY + i] = kept.readUInt16LE(i * 2);
    this.#count[slot] = count;
    this.#next[slot] = count % HISTORY;
    if (count >= ENOUGH) this.#work(slot, count);
    this.#savedPeriod[slot] = this.period[slot] as number;
  }

  #grow(): void {
    const size = Math.min(this.#max, Math.ceil(this.#flags.length * 1.5));
    const larger = <T extends { set(from: T): void }>(
      make: new (length: number) => T,
      from: T,
      each = 1,
    ): T => {
      const grown = new make(size * each);
      grown.set(from);
      return grown;
    };
    this.lastHeard = larger(Float64Array, this.lastHeard);
    this.edge = larger(Uint16Array, this.edge);
    this.period = larger(Float32Array, this.period);
    this.deviation = larger(Float32Array, this.deviation);
    this.#history = larger(Uint16Array, this.#history, HISTORY);
    this.#count = larger(Uint8Array, this.#count);
    this.#next = larger(Uint8Array, this.#next);
    this.#odd = larger(Float32Array, this.#odd);
    this.#flags = larger(Uint8Array, this.#flags);
    this.#savedPeriod = larger(Float32Array, this.#savedPeriod);
    this.#savedAt = larger(Float64Array, this.#savedAt);
  }
}
