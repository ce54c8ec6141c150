import { isUtf8 } from 'node:buffer';
import { isName, LIMITS } from './reading.ts';
import { ReadingScanner } from './scan-readings.ts';

/**
 * Reads the payloads that nearly all devices send, at a fifth of the time of `parsePayload` and `interpret` and without
 * garbage. What it takes means exactly what those two say, and may stand in a line as it is; it leaves what is unusual.
 */
export class PayloadScanner extends ReadingScanner {
  constructor() {
    super((name) => (isName(name, LIMITS.metricBytes) ? name : undefined));
  }

  /** The latest stamp in the payload, epoch milliseconds; -1 when it has none. */
  get latestTs(): number {
    return this.latest;
  }

  /**
   * How many readings the bytes from..to hold; 0 when they are unusual or no readings. Bytes behind `to` may be anything.
   * @param metric that the topic names
   * @param arrival epoch milliseconds
   */
  scan(bytes: Buffer, from: number, to: number, metric: string | undefined, arrival: number): number {
    this.bytes = bytes;
    this.at = from;
    this.seen = 0;
    if (!this.takesPayload(metric, arrival) || this.at !== to) return 0;
    if (this.seen > 0x7f && !isUtf8(bytes.subarray(from, to))) return 0;
    this.tellReadings();
    return this.count;
  }
}
