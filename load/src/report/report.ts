import type { Latency } from '../measure/histogram.ts';
import type { Second } from '../open/send.ts';
import type { SinkName, SinkReport } from '../sinks/tally.ts';

/** What became of one threshold. */
export interface Verdict {
  readonly text: string;
  readonly passed: boolean;
  /** What the run had; null when it has no such figure, which fails. */
  readonly actual: number | null;
  readonly sentence: string;
}

/** CPU and memory of one process in one second. */
export interface ProcessSecond {
  /** Seconds since the start. */
  readonly at: number;
  /** Cores: 1 is one core busy. */
  readonly cpu: number;
  readonly rssMiB: number;
}

export interface ProcessReport {
  readonly name: string;
  readonly cpuSeconds: number;
  readonly rssMiB: { readonly first: number; readonly last: number; readonly max: number };
  /** Of the second half of the run, MiB a minute: what does not level off. */
  readonly growthMiBPerMinute: number;
  readonly course: readonly ProcessSecond[];
}

export interface ClassReport {
  readonly name: string;
  readonly devices: number;
  readonly acknowledged: number;
  readonly ackMs: Latency | null;
}

/** Everything that a run found out. */
export interface FleetReport {
  readonly version: 1;
  readonly scenario: string;
  readonly about: string;
  readonly seed: number;
  /** RFC 3339. */
  readonly startedAt: string;
  readonly machine: { readonly cpus: string; readonly memoryGiB: number; readonly node: string };
  readonly targets: readonly string[];
  readonly site: string;
  readonly workers: number;
  /** Of the schedule, seconds. */
  readonly durationS: number;
  /** Until the last acknowledgement that was waited for. */
  readonly seconds: number;
  readonly interrupted: boolean;
  readonly devices: number;
  readonly connections: number;
  /** Readings a second that the schedule means, on average. */
  readonly offeredPerSecond: number;
  /** Between warm-up and the end of the schedule. */
  readonly sentPerSecond: number;
  /** Between warm-up and the end of the schedule. */
  readonly acknowledgedPerSecond: number;
  /** From the first publish until all was in committed windows; null: not seen. */
  readonly carriedPerSecond: number | null;
  readonly counts: {
    readonly scheduled: number;
    readonly sent: number;
    readonly acknowledged: number;
    /** Sent at QoS 1 or 2 and not acknowledged when the run ended. */
    readonly unacknowledged: number;
    readonly unsent: number;
    readonly sentLate: number;
    readonly sentTwice: number;
    readonly resent: number;
    readonly malformed: number;
    readonly oversized: number;
    readonly dialed: number;
    readonly failedDials: number;
    readonly refused: number;
    readonly reconnects: number;
  };
  /** Acknowledged readings that the worst sink does not have; null when none was read. */
  readonly lost: number | null;
  readonly sinks: Readonly<Partial<Record<SinkName, SinkReport>>>;
  readonly deadLetters: Readonly<Record<string, number>>;
  readonly ackMs: Latency | null;
  readonly connectMs: Latency | null;
  /** How much later than meant publishes left. */
  readonly slipMs: Latency | null;
  readonly freshMs: {
    readonly endToEnd: Latency | null;
    readonly window: Latency | null;
    readonly beyond: Latency | null;
    readonly websocket: Latency | null;
    /** Stamp → RabbitMQ, by class of the reading. */
    readonly normal: Latency | null;
    readonly critical: Latency | null;
  };
  readonly probes: { readonly missingWindows: number; readonly missingWebsocket: number };
  readonly classes: readonly ClassReport[];
  readonly phases: readonly {
    readonly name: string;
    readonly ackMs: Latency | null;
    readonly classes: readonly { readonly name: string; readonly ackMs: Latency | null }[];
  }[];
  /** From the end of the schedule until the windows, and the archive, had all of it, seconds; null: not seen. */
  readonly settle: { readonly windows: number | null; readonly archive: number | null };
  readonly senderCpuSeconds: number;
  readonly processes: readonly ProcessReport[];
  readonly course: readonly (Second & { readonly offeredPerSecond: number })[];
  readonly thresholds: readonly Verdict[];
  /** What a reader of the figures must know. */
  readonly notes: readonly string[];
}
