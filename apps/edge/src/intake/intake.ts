import { randomUUID } from 'node:crypto';
import { WeirError } from '@weir/flow';
import {
  type DeadLetter,
  deadLetterHeaders,
  type EnvelopeHead,
  encodeEnvelope,
  partitionOf,
} from '@weir/reading';
import { eventKey, READINGS_PARTITIONS } from '@weir/topology';
import type { EdgeEvents } from '../events.ts';
import { deadLetterBody, eventBody, type Spool, type SpoolEntry, type WhenFull } from '../spool/index.ts';
import type { RefusedBytes } from '../steps/decode-payload.ts';

/** One record on its way into the spool. A line holds its position, so it is made when it is appended. */
export interface Part {
  readonly kind: 'reading' | 'dead-letter' | 'event';
  readonly partition: number;
  readonly critical: boolean;
  /** Readings inside. */
  readonly count: number;
  /** About what it takes while it waits. */
  readonly bytes: number;
  body(n: number): Buffer;
}

/** Called when every part is durable, or with an error when one is not: then nothing may be acknowledged. */
export type Settled = (error: Error | null) => void;

interface Parked {
  readonly parts: readonly Part[];
  next: number;
  readonly settled: Settled;
}

const ignore: Settled = () => {};
const isCritical = (parts: readonly Part[]): boolean => parts.every((part) => part.critical);
const bytesOf = (parts: readonly Part[]): number => parts.reduce((sum, part) => sum + part.bytes, 0);
/** What may wait for room while critical readings still pass (spool policy `prioritize`). */
const PASSING_BYTES = 8 << 20;
const EVENT_BYTES = 256;

/**
 * The one way into the spool. What the spool does not take now waits here in order; the gates stop forwarding as
 * soon as anything waits, so that this holds no more than what one turn of the event loop had already let through.
 * With the policy `prioritize` the gates go on until `PASSING_BYTES` wait, and critical readings pass what waits.
 */
export class Intake {
  readonly edge: string;
  readonly #spool: Spool;
  readonly #events: EdgeEvents;
  readonly #parked: Parked[] = [];
  readonly #onFree: () => void;
  readonly #prioritizes: boolean;
  #parkedBytes = 0;
  #inFlight = 0;
  #onSettled: (() => void) | null = null;

  constructor(edgeId: string, spool: Spool, events: EdgeEvents, whenFull: WhenFull, onFree: () => void) {
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
    return this.#parked.length > 0 || this.#spool.state === 'blocked';
  }
  #mustWait(parts: readonly Part[]): boolean {
    return this.#parked.length > 0 && !(this.#prioritizes && isCritical(parts));
  }
  #park(submission: Parked): void {
    this.#parked.push(submission);
    this.#parkedBytes += bytesOf(submission.parts);
  }
  /** Submissions that wait for the spool to take them. */
  get parked(): number {
    return this.#parked.length;
  }
  /** Submissions that are not settled yet. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Takes all parts, in this order, whatever the spool says; `settled` is called once. */
  submit(parts: readonly Part[], settled: Settled): void {
    this.#inFlight++;
    const submission = { parts, next: 0, settled: this.#counted(settled) };
    if (this.#mustWait(parts) || !this.#append(submission)) this.#park(submission);
  }

  /** As `submit`, but false, and nothing taken, when the spool takes nothing at the moment. */
  offer(parts: readonly Part[], settled: Settled): boolean {
    if (this.#isFull && !(this.#prioritizes && isCritical(parts))) return false;
    this.#inFlight++;
    const submission: Parked = {
      parts,
      next: 0,
      settled: this.#counted(settled),
    };
    if (this.#append(submission)) return true;
    if (submission.next === 0) {
      this.#inFlight--;
      return false;
    }
    this.#park(submission);
    return true;
  }

  #counted(settled: Settled): Settled {
    return (error) => {
      this.#inFlight--;
      settled(error);
      if (this.#onSettled !== null && this.#inFlight <= this.#parked.length) this.#onSettled();
    };
  }

  /** Resolves when everything that the spool has taken is durable. What still waits for room is not acknowledged. */
  async settle(): Promise<void> {
    if (this.#inFlight > this.#parked.length) {
      await new Promise<void>((resolve) => {
        this.#onSettled = resolve;
      });
    }
    this.#onSettled = null;
    this.#parkedBytes = 0;
    for (const { settled } of this.#parked.splice(0)) {
      settled(new WeirError('WEIR_SPOOL_FULL', 'transient', 'the edge stops with a full spool'));
    }
  }

  #append(submission: Parked): boolean {
    const { parts } = submission;
    for (; submission.next < parts.length; submission.next++) {
      const part = parts[submission.next] as Part;
      const entry: SpoolEntry = {
        kind: part.kind,
        critical: part.critical,
        partition: part.partition,
        count: part.count,
        body: part.body(this.#spool.nextN()),
      };
      // done is called in the order of the appends, so the last one speaks for all of them
      const isLast = submission.next === parts.length - 1;
      if (!this.#spool.append(entry, isLast ? submission.settled : ignore)) return false;
    }
    return true;
  }

  #drain(): void {
    let done = 0;
    while (done < this.#parked.length && this.#append(this.#parked[done] as Parked)) {
      this.#parkedBytes -= bytesOf((this.#parked[done] as Parked).parts);
      done++;
    }
    if (done > 0) this.#parked.splice(0, done);
    if (!this.isBlocked) this.#onFree();
  }

  /** Records an event for RabbitMQ. Events never hold anything back: under pressure they are dropped and counted. */
  event(site: string, kind: string, fields: Readonly<Record<string, unknown>>): void {
    const part = eventPart(site, kind, { ...fields, edge: this.edge });
    if (!this.offer([part], ignore)) this.#events.eventDropped();
  }
}

/** The line of a publish. `prefix` is from `envelopePrefix`. */
export function readingPart(
  prefix: string,
  partition: number,
  head: Omit<EnvelopeHead, 'n'>,
  payload: Buffer,
  count: number,
): Part {
  return {
    kind: 'reading',
    partition,
    critical: head.critical === true,
    count,
    bytes: payload.length,
    body: (n) => encodeEnvelope(prefix, { ...head, n }, payload),
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
    bytes: raw.length,
    body: () => deadLetterBody(origin.device, deadLetterHeaders(letter), raw),
  };
}

export function eventPart(site: string, kind: string, fields: Readonly<Record<string, unknown>>): Part {
  return {
    kind: 'event',
    partition: 0,
    critical: false,
    count: 0,
    bytes: EVENT_BYTES,
    body: () => eventBody({ key: eventKey(site, kind), body: { kind, site, ...fields } }),
  };
}
