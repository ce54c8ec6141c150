/** A gate, as a lane sees it. */
export interface LaneGate {
  readonly session: unknown;
  /** Answers publishes with QoS 1 that the lane took, by their packet ids. */
  acknowledge(ids: readonly number[]): void;
  destroy(error: Error): unknown;
}

/**
 * A way past aedes for some of the publishes with QoS 0 or 1 and without RETAIN. It keeps their order: when it takes
 * one, aedes has read everything that was handed to it earlier.
 */
export interface Lane {
  /** Whether it would take the publish with the first byte `first`, whose variable header and payload are from..to. */
  check(gate: LaneGate, bytes: Buffer, first: number, from: number, to: number): boolean;
  /** Takes the one that was checked last; false: aedes is to have it after all. */
  take(): boolean;
  /** What was taken since the last call belongs together; the gate is to be told when it is durable. */
  seal(gate: LaneGate): void;
}
