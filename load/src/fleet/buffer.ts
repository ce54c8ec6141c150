/** A reading on its way from a device to the broker. */
export interface Pending {
  readonly seq: number;
  /** Message id, 1 to 65,535; a reading keeps it when it is sent again. */
  readonly id: number;
  readonly topic: Buffer;
  readonly payload: Buffer;
  /** `performance.now()` of the first send; 0 before. */
  firstSentAt: number;
  acked: boolean;
}

const COMPACT_AT = 1_024;

/**
 * What a device has measured and the broker has not acknowledged, oldest first. Holds at most `capacity` readings:
 * a new one pushes the oldest out, which the caller counts.
 */
export class DeviceBuffer {
  readonly capacity: number;
  readonly #byId = new Map<number, Pending>();
  #items: Pending[] = [];
  #head = 0;
  /** Index in #items of the first reading that was not sent over this connection. */
  #next = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
  }

  get size(): number {
    return this.#items.length - this.#head;
  }
  /** Sent over this connection and not yet acknowledged. */
  get inFlight(): number {
    return this.#next - this.#head;
  }

  /** Returns the reading that had to go, if any. */
  push(reading: Pending): Pending | undefined {
    const oldest = this.size >= this.capacity ? this.#shift() : undefined;
    this.#items.push(reading);
    this.#byId.set(reading.id, reading);
    return oldest;
  }

  /** The next reading to send, which then counts as in flight. */
  take(): Pending | undefined {
    const reading = this.#items[this.#next];
    if (reading !== undefined) this.#next++;
    return reading;
  }

  /** The reading that `id` acknowledges; undefined when it was pushed out or acknowledged before. */
  acknowledge(id: number): Pending | undefined {
    const reading = this.#byId.get(id);
    if (reading === undefined || reading.acked) return undefined;
    reading.acked = true;
    while (this.#items[this.#head]?.acked === true) this.#shift();
    return reading;
  }

  /** The connection is gone: everything that was not acknowledged is to be sent again, oldest first. */
  rewind(): void {
    this.#items = this.#items.slice(this.#head).filter((reading) => !reading.acked);
    this.#head = 0;
    this.#next = 0;
  }

  #shift(): Pending | undefined {
    const reading = this.#items[this.#head];
    if (reading === undefined) return undefined;
    this.#byId.delete(reading.id);
    this.#head++;
    this.#next = Math.max(this.#next, this.#head);
    if (this.#head >= COMPACT_AT) {
      this.#items = this.#items.slice(this.#head);
      this.#next -= this.#head;
      this.#head = 0;
    }
    return reading;
  }
}
