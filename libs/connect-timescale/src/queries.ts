import type { LevelName } from '@weir/topology';

/** A device that has sent at least one reading. */
export interface DeviceSummary {
  readonly site: string;
  readonly device: string;
  readonly metrics: readonly string[];
  /** When Weir first saw it. */
  readonly createdAt: Date;
}

export interface DevicePage {
  readonly devices: readonly DeviceSummary[];
  /** Pass as `after` to get the next page; absent on the last one. */
  readonly next?: string;
}

/** The newest value of one metric. */
export interface LatestValue {
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly unit: string | null;
  /** Event time of the value. */
  readonly ts: Date;
  readonly value: number;
}

/** One row of a window level. Figures that overflow a 64-bit float are null. */
export interface WindowRow {
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly level: LevelName;
  /** Start, inclusive. */
  readonly start: Date;
  /** End, exclusive. */
  readonly end: Date;
  readonly count: number;
  readonly sum: number | null;
  readonly min: number;
  readonly max: number;
  readonly mean: number | null;
  /** Sample standard deviation (n - 1); null for a single reading. */
  readonly stddev: number | null;
  readonly first: number;
  readonly last: number;
  readonly firstTs: Date;
  readonly lastTs: Date;
  /** Within 1 % of the exact quantile; null at level 1s. */
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  /** How often the row was rewritten after it was first stored. */
  readonly revision: number;
  /** True when no reading can change the row any more: the device's watermark passed end + allowed lateness. */
  readonly isFinal: boolean;
}

export interface DevicesQuery {
  readonly site?: string;
  /** Only devices whose id begins with this. */
  readonly prefix?: string;
  /** From `DevicePage.next`. */
  readonly after?: string;
  /** 1..1000 */
  readonly limit: number;
}

export interface WindowsQuery {
  readonly device: string;
  /** Needed when two sites have a device of the same id. */
  readonly site?: string;
  readonly metric: string;
  readonly level: LevelName;
  /** Inclusive. */
  readonly from: Date;
  /** Exclusive. */
  readonly to: Date;
  /** 1..10000, oldest first. */
  readonly limit: number;
}

/** The read model of gateway and command line. Every call throws `WeirError` (transient: the database is away). */
export interface Queries {
  /** By site, then device id. */
  listDevices(query: DevicesQuery): Promise<DevicePage>;
  /** Newest value of every metric; empty when the device is not known. */
  latest(device: string, site?: string): Promise<readonly LatestValue[]>;
  windows(query: WindowsQuery): Promise<readonly WindowRow[]>;
}

/* `openQueries(database, { allowedLatenessMs, outOfOrdernessMs })` makes one. */
