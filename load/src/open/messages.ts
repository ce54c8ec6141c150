import type { Packed } from '../measure/histogram.ts';
import type { RunPlace } from '../scenario/fleet-plan.ts';
import type { Scenario } from '../scenario/schema.ts';

/** What a worker is to do. */
export interface Assignment extends RunPlace {
  readonly scenario: Scenario;
  readonly worker: number;
  /** Device → secret; a device without one connects anonymously. */
  readonly secrets: Readonly<Record<string, string>>;
}

export type ToWorker =
  /** Makes the schedule; answered by `ready`. */
  | { readonly kind: 'plan'; readonly assignment: Assignment }
  /** `startAt`: epoch milliseconds of the schedule's zero. */
  | { readonly kind: 'begin'; readonly startAt: number }
  /** Nothing that is due later is sent; what is under way is waited for. */
  | { readonly kind: 'stop' };

/** Counts since the worker began; they only grow, but for `connected` and `waiting`. */
export const COUNTERS = [
  'sent',
  'sentLate',
  'sentTwice',
  'resent',
  'acknowledged',
  'unsent',
  'malformed',
  'oversized',
  'reconnects',
  'refused',
  'dialed',
  'failedDials',
  'connected',
  'waiting',
] as const;
export type Counter = (typeof COUNTERS)[number];
export type Counts = Record<Counter, number>;
export const noCounts = (): Counts => Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Counts;

/** Latencies of one class in one phase since the report before. */
export interface LatencyPart {
  readonly classIndex: number;
  /** −1: outside of all phases. */
  readonly phase: number;
  readonly ack: Packed;
}

export interface Tick {
  readonly kind: 'tick';
  readonly counts: Counts;
  /** By class, in the order of the plan. */
  readonly acknowledged: readonly number[];
  readonly parts: readonly LatencyPart[];
  /** Dial → CONNACK. */
  readonly connect: Packed;
  /** How much later than meant publishes left. */
  readonly slip: Packed;
  /** CPU seconds of the worker so far. */
  readonly cpuSeconds: number;
}

export interface Sent {
  readonly id: number;
  /** Bits of the numbers that were put on the wire, and of those that were acknowledged. */
  readonly sent: Uint8Array;
  readonly acknowledged: Uint8Array;
}

export type FromWorker =
  | { readonly kind: 'ready' }
  | Tick
  | { readonly kind: 'trouble'; readonly message: string }
  | { readonly kind: 'sent'; readonly devices: readonly Sent[] }
  | { readonly kind: 'done' };
