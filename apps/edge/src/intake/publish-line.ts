import { type LineClock, LineWriter, type PublishHead } from '@weir/reading';
import type { SpoolEntry } from '../spool/index.ts';

/** The line of one publish of readings, on its way from the bytes of a socket read to those of the spool; used again for each. */
export class PublishLine implements SpoolEntry, PublishHead {
  readonly kind = 'reading';
  readonly body: LineWriter;
  /** Readings inside. */
  count = 0;
  critical = false;
  /** Start of the line, and the partition, of its topic. */
  place: { readonly prefixBytes: Buffer; readonly partition: number } = {
    prefixBytes: Buffer.alloc(0),
    partition: 0,
  };
  n = 0;
  k = 0;
  /** Arrival, epoch milliseconds. */
  at = 0;
  qos: 0 | 1 = 0;
  mid = 0;
  dup = false;
  /** The payload: bytes from..to of it. */
  source: Buffer = this.place.prefixBytes;
  from = 0;
  to = 0;

  constructor(clock: LineClock) {
    this.body = new LineWriter(clock);
  }

  get partition(): number {
    return this.place.partition;
  }
  /** Its position and count in the spool. */
  putAt(n: number, k: number): void {
    this.n = n;
    this.k = k;
    this.body.set(this.place.prefixBytes, this, this.source, this.from, this.to);
  }
}
