import type { HopName } from '@weir/api';

/** Apps that hold readings. */
export const APPS = ['edge', 'aggregator', 'archiver', 'alerter'] as const;
export type AppKind = (typeof APPS)[number];

/** A hop inside an app, and what it hands on to. */
export interface Drain {
  readonly hop: HopName;
  readonly app: AppKind;
  /** What it waits for when it waits: the next server, or itself where that is its own disk. null: nothing. */
  readonly sink: HopName | null;
  /** A wait that is longer than this is late, seconds. */
  readonly lateSeconds: number;
}

/** From the device on. */
export const DRAINS: readonly Drain[] = [
  { hop: 'device-gate', app: 'edge', sink: null, lateSeconds: 0.5 },
  { hop: 'spool', app: 'edge', sink: 'spool', lateSeconds: 0.5 },
  { hop: 'forward-kafka', app: 'edge', sink: 'kafka', lateSeconds: 3 },
  { hop: 'forward-rabbitmq', app: 'edge', sink: 'rabbitmq', lateSeconds: 3 },
  { hop: 'aggregator', app: 'aggregator', sink: 'timescale', lateSeconds: 3 },
  { hop: 'archiver', app: 'archiver', sink: 'minio', lateSeconds: 3 },
  { hop: 'alerter', app: 'alerter', sink: 'timescale', lateSeconds: 3 },
];

/** The hop that stands for a whole process. */
export const HOP_OF_APP: Readonly<Record<AppKind, HopName>> = {
  edge: 'device-gate',
  aggregator: 'aggregator',
  archiver: 'archiver',
  alerter: 'alerter',
};

/** What one process said of one of its hops. Times are counters: seconds since the process began. */
export interface DrainSample {
  readonly sinkSeconds: number;
  /** How long the oldest has waited, beyond the pace of the hop. */
  readonly delaySeconds: number;
  /** 0 free, 1 throttled, 2 blocked. */
  readonly state: number;
}

/** What one process said, or that it said nothing. */
export interface Sample {
  /** Milliseconds of a clock that never goes back. */
  readonly at: number;
  readonly answer: {
    /** Seconds in which its event loop had something to do, since it began. */
    readonly busySeconds: number;
    readonly drains: ReadonlyMap<HopName, DrainSample>;
  } | null;
}

/** What is known of one process. */
export interface Process {
  readonly app: AppKind;
  /** Where it answers. */
  readonly instance: string;
  /** Oldest first. */
  readonly samples: readonly Sample[];
}
