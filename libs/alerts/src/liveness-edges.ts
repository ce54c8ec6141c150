/** What an edge says of itself: everything that it heard up to `upTo` is on its way before this. */
export interface EdgeProgress {
  /** Name of the edge. */
  readonly edge: string;
  /** Epoch milliseconds, by its own clock, as `since`. */
  readonly upTo: number;
  /** Since when it has listened to its devices without a break. */
  readonly since: number;
  /** Its hybrid logical clock: grows although the other two may be set back. */
  readonly hlc: string;
}

/** The queues that bring heartbeats; what an edge says of its progress comes through each of them. */
export const HEARTBEAT_QUEUES = ['normal', 'critical', 'events'] as const;
export type HeartbeatQueue = (typeof HEARTBEAT_QUEUES)[number];

export interface Edge {
  readonly name: string;
  /** Up to here everything that it heard is known: its time, as far as its devices are concerned. NaN: not yet. */
  upTo: number;
  since: number;
  /** `upTo` when it was first heard of in this process: silence counts from then on. */
  joined: number;
  /** Set by progress, taken back when its devices have been judged. */
  advanced: boolean;
  /** The local, monotonic time at which it was last heard of, milliseconds. */
  toldAt: number;
  /** Its devices were forgotten. */
  gone: boolean;
  readonly marks: Partial<Record<HeartbeatQueue, EdgeProgress>>;
}

/** As many edges as a column of numbers in 16 bits may name is far more than one alerter serves. */
const MAX_EDGES = 10_000;

/** The time of each edge, as far as all queues have told of it. */
export class EdgeClocks {
  /** By number; a number is never given twice. */
  readonly all: Edge[] = [];
  readonly #numbers = new Map<string, number>();

  /** @returns undefined when there are too many */
  number(name: string, toldAt: number): number | undefined {
    let number = this.#numbers.get(name);
    if (number === undefined && this.all.length < MAX_EDGES) {
      number = this.all.length;
      const unknown = { upTo: Number.NaN, since: Number.NaN, joined: Number.POSITIVE_INFINITY };
      this.all.push({ name, ...unknown, advanced: false, toldAt, gone: false, marks: {} });
      this.#numbers.set(name, number);
    }
    return number;
  }

  /**
   * Takes what an edge said, as it came out of `queue`. The edge's time is that of the slowest queue: a backlog in one
   * of them holds it back.
   * @returns true when its clock was set back
   */
  progress(edge: Edge, queue: HeartbeatQueue, said: EdgeProgress, now: number): boolean {
    edge.toldAt = now;
    edge.gone = false;
    const before = edge.marks[queue];
    if (before !== undefined && said.hlc <= before.hlc) return false;
    edge.marks[queue] = said;
    let slowest = said;
    for (const name of HEARTBEAT_QUEUES) {
      const mark = edge.marks[name];
      if (mark === undefined) return false;
      if (mark.hlc < slowest.hlc) slowest = mark;
    }
    const { upTo, since } = slowest;
    if (edge.upTo === upTo && edge.since === since) return false;
    const isBack = upTo < edge.upTo;
    edge.upTo = upTo;
    edge.since = since;
    edge.joined = Math.min(edge.joined, upTo);
    edge.advanced = true;
    return isBack;
  }
}
