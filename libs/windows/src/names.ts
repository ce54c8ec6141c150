import { hashSite, hashText, isName, isText, LIMITS, type LineNames, slotOf } from '@weir/reading';
import { resized } from './columns.ts';
import type { SeriesInfo } from './types.ts';

/** One metric of one device. */
export interface Series extends SeriesInfo {
  /** Key in the database; 0 until it is allocated. */
  id: number;
  unit: string | undefined;
  /** Number in the engine. */
  readonly index: number;
  /** The series that its device got before. */
  before: Series | undefined;
}

/** One device: its watermark decides for all its metrics. */
export class Device {
  readonly site: string;
  readonly device: string;
  /** Number in the engine. */
  readonly index: number;
  /** Ring of its publishes without an identity of their own; -1: none yet. */
  publishes = -1;
  /** The newest of its series. An array of them, of one in most devices, would take 150 bytes more. */
  private last: Series | undefined = undefined;
  private count = 0;
  private byMetric: Map<string, Series> | null = null;

  constructor(site: string, device: string, index: number) {
    this.site = site;
    this.device = device;
    this.index = index;
  }

  series(metric: string): Series | undefined {
    if (this.byMetric !== null) return this.byMetric.get(metric);
    let one = this.last;
    while (one !== undefined && one.metric !== metric) one = one.before;
    return one;
  }

  add(series: Series): void {
    series.before = this.last;
    this.last = series;
    if (++this.count <= FEW) return;
    if (this.byMetric === null) {
      this.byMetric = new Map();
      for (let one = series.before; one !== undefined; one = one.before) this.byMetric.set(one.metric, one);
    }
    this.byMetric.set(series.metric, series);
  }
}

/** Metrics of a device that are compared one by one: a Map for each of 100,000 devices would take 20 MiB. */
const FEW = 8;

const FIRST_SLOTS = 64;

/**
 * The devices of a partition by site and id: as text, and as the bytes of a line, which makes no text of them. Devices are
 * added in the order of their numbers.
 */
export class Devices implements LineNames {
  /** The device that `device` was asked for last; undefined: it is new. */
  asked: Device | undefined;
  private readonly list: Device[] = [];
  /** By number. */
  private hashes = new Int32Array(FIRST_SLOTS / 2);
  /** Number + 1 of the device in a slot, or 0; open addressing, at most half full. */
  private slots = new Int32Array(FIRST_SLOTS);
  /** One string for each site and metric. */
  private readonly sites = new Map<string, string>();
  private readonly metrics = new Map<string, string>();

  get(site: string, device: string): Device | undefined {
    const hash = hashText(hashSite(site), device);
    const mask = this.slots.length - 1;
    for (let slot = slotOf(hash, mask); ; slot = (slot + 1) & mask) {
      const number = (this.slots[slot] as number) - 1;
      if (number < 0) return undefined;
      const found = this.list[number] as Device;
      if (this.hashes[number] === hash && found.device === device && found.site === site) return found;
    }
  }

  device(site: string, bytes: Buffer, from: number, to: number, hash: number): string {
    const mask = this.slots.length - 1;
    for (let slot = slotOf(hash, mask); ; slot = (slot + 1) & mask) {
      const number = (this.slots[slot] as number) - 1;
      if (number < 0) break;
      if (this.hashes[number] !== hash) continue;
      const found = this.list[number] as Device;
      if (!isText(found.device, bytes, from, to) || found.site !== site) continue;
      this.asked = found;
      return found.device;
    }
    this.asked = undefined;
    return bytes.toString('latin1', from, to);
  }

  add(device: Device): void {
    if (device.index !== this.list.length) throw new Error('devices are added in the order of their numbers');
    this.list.push(device);
    if (this.list.length > this.hashes.length) this.grow();
    const hash = hashText(hashSite(device.site), device.device);
    this.hashes[device.index] = hash;
    this.put(device.index, hash);
  }

  private grow(): void {
    const hashes = resized(this.hashes, this.hashes.length * 2);
    this.hashes = hashes;
    this.slots = new Int32Array(this.slots.length * 2);
    for (let number = 0; number < this.list.length - 1; number++) this.put(number, hashes[number] as number);
  }

  private put(number: number, hash: number): void {
    const mask = this.slots.length - 1;
    let slot = slotOf(hash, mask);
    while (this.slots[slot] !== 0) slot = (slot + 1) & mask;
    this.slots[slot] = number + 1;
  }

  site(name: string): string | undefined {
    return one(this.sites, name, LIMITS.siteBytes);
  }
  metric(name: string): string | undefined {
    return one(this.metrics, name, LIMITS.metricBytes);
  }
}

/** The string that stands for all equal ones; undefined when it cannot be a name. */
function one(known: Map<string, string>, name: string, maxBytes: number): string | undefined {
  const found = known.get(name);
  if (found !== undefined) return found;
  if (!isName(name, maxBytes)) return undefined;
  known.set(name, name);
  return name;
}
