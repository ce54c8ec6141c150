import { type LineHead, LineScanner, type Reading, type Refusal } from '@weir/reading';
import { hashBytes } from './arrivals.ts';
import { checkNames, parseLine } from './line.ts';
import type { Device, Devices } from './names.ts';

const NEWLINE = 0x0a;
const PAYLOAD = Buffer.from(',"payload');
const NONE: readonly Refusal[] = [];

/** Reads the lines of a record one by one; what it says of one is valid until the next. */
export class LineReader {
  head: LineHead;
  /** The line's device, when it is known. */
  known: Device | undefined;
  readings: readonly Reading[] = [];
  refusals: readonly Refusal[] = [];
  /** Where the line ends: its newline, or the end of the record. */
  end = 0;
  private bytes: Buffer = Buffer.alloc(0);
  private start = 0;
  private readonly devices: Devices;
  private readonly scanner: LineScanner;

  constructor(devices: Devices) {
    this.devices = devices;
    this.scanner = new LineScanner(devices);
    this.head = this.scanner.head;
  }

  /** Reads the line at `start`. Throws as `parseLine` does, with `end` set. */
  read(bytes: Buffer, start: number): void {
    this.bytes = bytes;
    this.start = start;
    const { scanner, devices } = this;
    this.end = scanner.scan(bytes, start);
    if (this.end >= 0) {
      this.head = scanner.head;
      this.known = devices.asked;
      this.readings = scanner.readings;
      this.refusals = NONE;
      if (this.known === undefined) checkNames(this.head);
    } else {
      const newline = bytes.indexOf(NEWLINE, start);
      this.end = newline < 0 ? bytes.length : newline;
      const { envelope, known, interpretation } = parseLine(this.text, devices);
      this.head = envelope;
      this.known = known;
      this.readings = interpretation.readings;
      this.refusals = interpretation.refusals;
    }
  }

  /** The line, for those that are needed as a text. */
  get text(): string {
    return this.bytes.toString('utf8', this.start, this.end);
  }

  /** Equal for equal payloads: a 53-bit hash. */
  get payloadHash(): number {
    const { bytes, start, end } = this;
    const found = bytes.indexOf(PAYLOAD, start);
    return hashBytes(bytes, found < 0 || found > end ? start : found, end);
  }
}
