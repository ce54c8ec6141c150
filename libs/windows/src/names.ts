import type { SeriesInfo } from './types.ts';

/** One metric of one device. */
export interface Series extends SeriesInfo {
  /** Key in the database; 0 until it is allocated. */
  id: number;
  unit: string | undefined;
  /** Number in the engine. */
  readonly index: number;
}

/** One device: its watermark decides for all its metrics. */
export class Device {
  readonly site: string;
  readonly device: string;
  /** Number in the engine. */
  readonly index: number;
  /** Ring of its publishes without an identity of their own; -1: none yet. */
  publishes = -1;
  private readonly list: Series[] = [];
  private byMetric: Map<string, Series> | null = null;

  constructor(site: string, device: string, index: number) {
    this.site = site;
    this.device = device;
    this.index = index;
  }

  series(metric: string): Series | undefined {
    if (this.byMetric !== null) return this.byMetric.get(metric);
    for (const one of this.list) if (one.metric === metric) return one;
    return undefined;
  }

  add(series: Series): void {
    this.list.push(series);
    if (this.list.length > FEW)
      this.byMetric ??= new Map(this.list.map((one): [string, Series] => [one.metric, one]));
    this.byMetric?.set(series.metric, series);
  }
}

/** Metrics of a device that are compared one by one: a Map for each of 100,000 devices would take 20 MiB. */
const FEW = 8;

/** The devices of a partition by site and id. */
export class Devices {
  private readonly sites = new Map<string, Map<string, Device>>();
  /** One string for all series of a metric. */
  private readonly metrics = new Map<string, string>();

  get(site: string, device: string): Device | undefined {
    return this.sites.get(site)?.get(device);
  }

  add(device: Device): void {
    let devices = this.sites.get(device.site);
    if (devices === undefined) {
      devices = new Map();
      this.sites.set(device.site, devices);
    }
    devices.set(device.device, device);
  }

  metric(name: string): string {
    const known = this.metrics.get(name);
    if (known !== undefined) return known;
    this.metrics.set(name, name);
    return name;
  }
}
