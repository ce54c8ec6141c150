import { randomUUID } from 'node:crypto';
import { type DeadLetterReason, WeirError } from '@weir/flow';
import {
  type DeadLetter,
  deadLetterHeaders,
  type EnvelopeHead,
  encodeEnvelope,
  partitionOf,
} from '@weir/reading';
import { eventKey, READINGS_PARTITIONS } from '@weir/topology';
import type { EdgeClock } from '../clock/index.ts';
import type { EdgeEvents } from '../events.ts';
import { deadLetterBody, eventBody, type Spool, type SpoolEntry, type WhenFull } from '../spool/index.ts';
import type { RefusedBytes } from '../steps/decode-payload.ts';
import type { PublishLine } from './publish-line.ts';

/** Of a record in the spool; see `Envelope`. */
export interface Place {
  readonly n: number;
  readonly k: number;
}

/** One record on its way into the spool. A line holds its position, so it is made when it is appended. */
export interface Part {
  readonly kind: 'reading' | 'dead-letter' | 'event';
  readonly partition: number;
  readonly critical: boolean;
  /** Readings inside. */
  readonly count: number;
  /** Of a dead letter. */
  readonly reason?: DeadLetterReason;
  /** About what it takes while it waits. */
  readonly bytes: number;
  body(place: Place, clock: Pick<EdgeClock, 'stamp'>): Buffer;
}

/**
 * Called when every part is durable, or with an error when one is not: then nothing may be acknowledged. `dropped` are
 * the parts that the policy of a full spool dropped instead; the spool has counted them.
 */
export type Settled = (error: Error | null, dropped: readonly Part[]) => void;

interface Submission {
  readonly parts: readonly Part[];
  next: number;
  dropped: readonly Part[];
  readonly done: (error: Error | null) => void;
}

export interface IntakeOptions {
  readonly edgeId: string;
  readonly spool: Spool;
  readonly clock: EdgeClock;
  readonly events: EdgeEvents;
  readonly whenFull: WhenFull;
  readonly onFree: () => void;
}

/** What an event tells besides its site and kind. */
export interface EventFields {
  /** Arrival, epoch milliseconds. */
  readonly at: number;
  readonly [name: string]: unknown;
}

const ignore = (): void => {};
const NONE: readonly Part[] = [];
const stopped = (): Error =>
  new WeirError('WEIR_SPOOL_FULL', 'transient', 'the edge stops with a full spool');
const isCritical = (parts: readonly Part[]): boolean => parts.every((part) => part.critical);
const bytesOf = (parts: readonly Part[]): number => parts.reduce((sum, part) => sum + part.bytes, 0);
/** What may wait for room while critical readings still pass (spool policy `prioritize`): one publish of each connection. */
const PASSING_BYTES = 32 << 20;
const EVENT_BYTES = 256;
/** Objects and closures of one part, and its headers when it is a dead letter. */
const PART_BYTES = 512;

/**
 * The one way into the spool. What the spool does not take now waits here in order; the gates stop forwarding as
 * soon as anything waits, so that this holds no more than what one turn of the event loop had already let through.
 * With the policy `prioritize` one publish of a connection at a time comes in, since only then it is known whether it is
 * critical; such readings pass what waits.
 */
export class Intake {
  /** `<edge id>/<spool id>` */
  readonly edge: string;
  readonly clock: EdgeClock;
  readonly #spool: Spool;
  readonly #events: EdgeEvents;
  readonly #parked: Submission[] = [];
  /** With the policy `prioritize`: critical ones that found even the reserve full. They go first. */
  readonly #parkedCritical: Submission[] = [];
  readonly #onFree: () => void;
  readonly #prioritizes: boolean;
  #parkedBytes = 0;
  #inFlight = 0;
  /** Times that `settle` was called. */
  #settles = 0;
  /** Of those in flight, the ones that the last `settle` found. */
  #early = 0;
  #onSettled: (() => void) | null = null;

  constructor({ edgeId, spool, clock, events, whenFull, onFree }: IntakeOptions) {
    this.clock = clock;
    this.edge = `${edgeId}/${spool.sourceId}`;
    this.#spool = spool;
    this.#events = events;
    this.#onFree = onFree;
    this.#prioritizes = whenFull === 'prioritize';
    spool.onFree(() => this.#drain());
  }

  /** No publish that wants an acknowledgement should come in. */
  get isBlocked(): boolean {
    return this.#prioritizes ? this.#parkedBytes > PASSING_BYTES : this.#isFull;
  }
  get #isFull(): boolean {
    return this.parked > 0 || this.#spool.state === 'blocked';
  }
  /** Whether a connection whose publishes wait for so many answers is to be held. */
  holds(inflight: number): boolean {
    return this.isBlocked || (this.#prioritizes && inflight > 0 && this.#isFull);
  }
  #passes(parts: readonly Part[]): boolean {
    return this.#prioritizes && isCritical(parts);
  }
  #mustWait(parts: readonly Part[]): boolean {
    return (this.#passes(parts) ? this.#parkedCritical.length : this.parked) > 0;
  }
  #park(submission: Submission): void {
    if (this.#settles > 0) {
      submission.done(stopped());
      return;
    }
    (this.#passes(submission.parts) ? this.#parkedCritical : this.#parked).push(submission);
    this.#parkedBytes += bytesOf(submission.parts);
  }
  /** Submissions that wait for the spool to take them. */
  get parked(): number {
    return this.#parked.length + this.#parkedCritical.length;
  }
  /** Submissions that are not settled yet. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Takes all parts, in this order, whatever the spool says; `settled` is called once. */
  submit(parts: readonly Part[], settled: Settled): void {
    const submission = this.#submission(parts, settled);
    if (this.#mustWait(parts) || !this.#append(submission)) this.#park(submission);
  }

  /** As `submit`, but false, and nothing taken, when the spool takes nothing at the moment. */
  offer(parts: readonly Part[], settled: Settled): boolean {
    if (this.#passes(parts) ? this.#parkedCritical.length > 0 : this.#isFull) return false;
    const submission = this.#submission(parts, settled);
    if (this.#append(submission)) return true;
    if (submission.next === 0) {
      this.#inFlight--;
      return false;
    }
    this.#park(submission);
    return true;
  }

  /**
   * As `offer`, for the line of a publish, and without anything made for it; the caller calls `settleLines` in the same
   * turn. Returns the readings taken: 0 when the policy of a full spool dropped them, -1 when nothing was taken.
   */
  offerLine(line: PublishLine): number {
    if (this.#isFull) return -1;
    const spool = this.#spool;
    const n = spool.nextN();
    line.putAt(n, spool.counted() + line.count);
    if (!spool.append(line)) return -1;
    return spool.nextN() === n ? 0 : line.count;
  }
  /** `settled` is called when the lines of `publishes` calls of `offerLine`, all since the last call, are durable. */
  settleLines(publishes: number, settled: (error: Error | null) => void): void {
    this.#spool.afterwards(this.#counting(publishes, settled));
  }
  /** Counts `publishes` as in flight until what it returns is called. */
  #counting(publishes: number, settled: (error: Error | null) => void): (error: Error | null) => void {
    const settles = this.#settles;
    this.#inFlight += publishes;
    return (error) => {
      this.#inFlight -= publishes;
      if (settles < this.#settles) this.#early -= publishes;
      settled(error);
      if (this.#onSettled !== null && this.#early <= this.parked) this.#onSettled();
    };
  }

  #submission(parts: readonly Part[], settled: Settled): Submission {
    const submission: Submission = {
      parts,
      next: 0,
      dropped: NONE,
      done: this.#counting(1, (error) => settled(error, submission.dropped)),
    };
    return submission;
  }
  /**
   * Begins the stop, or goes on with it. Resolves when everything that the spool has taken so far is durable; what comes later, as QoS 0
   * does until its connections are closed, is not waited for. What still waits for room is not acknowledged, and from
   * now on nothing waits for room.
   */
  async settle(): Promise<void> {
    this.#settles++;
    this.#early = this.#inFlight;
    if (this.#early > this.parked) {
      await new Promise<void>((resolve) => {
        this.#onSettled = resolve;
      });
    }
    this.#onSettled = null;
    this.#parkedBytes = 0;
    for (const { done } of [...this.#parkedCritical.splice(0), ...this.#parked.splice(0)]) done(stopped());
  }

  #append(submission: Submission): boolean {
    const { parts } = submission;
    for (; submission.next < parts.length; submission.next++) {
      const part = parts[submission.next] as Part;
      const n = this.#spool.nextN();
      const entry: SpoolEntry = {
        kind: part.kind,
        critical: part.critical,
        partition: part.partition,
        count: part.count,
        body: part.body({ n, k: this.#spool.counted() + part.count }, this.clock),
      };
      // done is called in the order of the appends, so the last one speaks for all of them
      const isLast = submission.next === parts.length - 1;
      if (!this.#spool.append(entry, isLast ? submission.done : ignore)) return false;
      // taken without a position: the policy drop-newest
      if (this.#spool.nextN() === n) submission.dropped = [...submission.dropped, part];
    }
    return true;
  }

  #drain(): void {
    for (const parked of [this.#parkedCritical, this.#parked]) {
      let done = 0;
      while (done < parked.length && this.#append(parked[done] as Submission)) {
        this.#parkedBytes -= bytesOf((parked[done] as Submission).parts);
        done++;
      }
      if (done > 0) parked.splice(0, done);
    }
    if (!this.isBlocked) this.#onFree();
  }

  /** Records an event for RabbitMQ. Events never hold anything back: under pressure they are dropped and counted. */
  event(site: string, kind: string, fields: EventFields): void {
    const part = eventPart(site, kind, { ...fields, edge: this.edge });
    if (!this.offer([part], ignore)) this.#events.eventDropped();
  }

  /** Counts the parts of a submission that became durable at the moment; returns the readings in them. */
  countKept(parts: readonly Part[], dropped: readonly Part[], at: number): number {
    let readings = 0;
    for (const part of parts) {
      if (dropped.length > 0 && dropped.includes(part)) continue;
      if (part.kind === 'reading') readings += part.count;
      else if (part.reason !== undefined) this.#events.buried(part.reason);
    }
    if (readings > 0) this.#events.accepted(readings, 1, (this.clock.now() - at) / 1_000);
    return readings;
  }
}

/** The line of a publish. `prefix` is from `envelopePrefix`. */
export function readingPart(
  prefix: string,
  partition: number,
  head: Omit<EnvelopeHead, 'n' | 'k' | 'hlc'>,
  payload: Buffer,
  count: number,
): Part {
  return {
    kind: 'reading',
    partition,
    critical: head.critical === true,
    count,
    bytes: payload.length + PART_BYTES,
    body: ({ n, k }, clock) => encodeEnvelope(prefix, { ...head, n, k, hlc: clock.stamp(head.at) }, payload),
  };
}

export interface Origin {
  readonly system: 'mqtt' | 'http';
  /** Topic or path. */
  readonly name: string;
  /** The device, when it is known. */
  readonly device: string | null;
  /** Arrival, epoch milliseconds. */
  readonly at: number;
}

export function deadLetterPart(refused: RefusedBytes, origin: Origin): Part {
  const letter: DeadLetter = {
    id: randomUUID(),
    reason: refused.reason,
    stage: refused.stage,
    errorClass: 'data',
    errorMessage: refused.message,
    firstFailedAt: origin.at,
    lastFailedAt: origin.at,
    originSystem: origin.system,
    origin: origin.name,
    originalTimestamp: origin.at,
    // the same bytes would be refused again, unless the rules change
    retryable: refused.reason === 'rejected' || refused.reason === 'clock-skew',
    replayCount: 0,
  };
  // the payload is a view of a socket read; it may have to wait
  const raw = Buffer.from(refused.bytes);
  return {
    kind: 'dead-letter',
    partition: origin.device === null ? 0 : partitionOf(origin.device, READINGS_PARTITIONS),
    critical: false,
    count: 1,
    reason: refused.reason,
    bytes: raw.length + PART_BYTES,
    body: () => deadLetterBody(origin.device, deadLetterHeaders(letter), raw),
  };
}

export function eventPart(site: string, kind: string, fields: EventFields): Part {
  return keyedPart(eventKey(site, kind), { kind, site, ...fields });
}

/** What the edge says of itself, under one of `EDGE_KEYS`. */
export function keyedPart(key: string, fields: EventFields): Part {
  return {
    kind: 'event',
    partition: 0,
    critical: false,
    count: 0,
    bytes: EVENT_BYTES,
    body: (_, clock) => eventBody({ key, body: { ...fields, hlc: clock.stamp(fields.at) } }),
  };
}
