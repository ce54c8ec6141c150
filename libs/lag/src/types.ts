import type { LagRule, LagVerdict } from '@weir/api';

/**
 * What was measured of one partition, or of one queue, at one moment. Offsets count records; of a queue they are made of
 * its counters (`queuePlace`). The committed place is read before the end, so that a group that moves meanwhile does not
 * look ahead of its log.
 */
export interface Measurement {
  /** Epoch milliseconds. */
  readonly at: number;
  /** Next offset to be read, as committed; null: nothing is committed. */
  readonly committed: number | null;
  /** First offset that the log still has. */
  readonly start: number;
  /** Offset after the last record (the high watermark). */
  readonly end: number;
  /** Consumers that this partition is assigned to; null: the broker does not tell. */
  readonly consumers: number | null;
  /** The group is between two assignments. */
  readonly rebalancing?: boolean;
  /** Tells a log from one made anew under its name; null: unknown. */
  readonly log?: string | null;
  /** Timestamp of the first record at or after the committed place, epoch milliseconds, when it was read. */
  readonly headAt?: number | null;
  /** It was looked for, and no record is left between place and end: only markers, or what compaction took away. */
  readonly nothing?: boolean;
  /** How long the log keeps a record, milliseconds; null: as long as others are not in the way, or unknown. */
  readonly retentionMs?: number | null;
  /** Messages wait there by design, and nobody is meant to consume them. */
  readonly waitingRoom?: boolean;
}

/** Nothing could be measured. */
export interface Unmeasured {
  readonly at: number;
  /** Why, as a sentence without its end. */
  readonly why: string;
}

/** By what a partition is judged. All times in milliseconds. */
export interface Limits {
  /** Time lag that is in order. */
  readonly allowedLagMs: number;
  /** How long nobody may have consumed when something waits. */
  readonly stopAfterMs: number;
  /** How long nothing may be committed while something waits; longer for a group that commits in larger strides. */
  readonly stallAfterMs: number;
  /** How long WARN, ERR and REWIND must last before they are the verdict, where their rule says so. */
  readonly holdMs: number;
  /** How long it must be better before the verdict says so. */
  readonly clearMs: number;
  /** Time to loss below which it is ERR; of a log that keeps records for less than four times that, a quarter of it. */
  readonly lossMarginMs: number;
}

/** How long a rebalance excuses that nothing is committed. */
export const REBALANCE_MS = 60_000;
/** Time that rates and velocity look back. */
export const WINDOW_MS = 60_000;

export interface Figures {
  readonly lag: number | null;
  readonly timeLagMs: number | null;
  readonly timeLagBy: 'caught-up' | 'record' | 'interpolated' | 'at-least' | null;
  readonly velocity: number | null;
  readonly etaMs: number | null;
  readonly retentionMarginItems: number | null;
  readonly timeToLossMs: number | null;
  readonly inRate: number | null;
  readonly outRate: number | null;
}

/** What a rule found. */
export interface Finding {
  readonly verdict: LagVerdict;
  readonly rule: LagRule;
  /** The verdict waits until this has lasted for `Limits.holdMs`. */
  readonly holds: boolean;
}

/** A partition as it is judged. */
export interface Judged extends Figures {
  readonly at: number;
  readonly committed: number | null;
  readonly start: number | null;
  readonly end: number | null;
  readonly consumers: number | null;
  readonly verdict: LagVerdict;
  /** Of the verdict: the rule that led to it, with the newest numbers while it still applies. */
  readonly rule: LagRule;
  /** Epoch milliseconds at which the verdict began. */
  readonly since: number;
}
