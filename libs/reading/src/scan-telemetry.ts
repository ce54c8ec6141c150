import { ascii, CLOSE_BRACE, JsonScanner } from './json-scanner.ts';
import { NameTable } from './name-table.ts';
import { isName, LIMITS } from './reading.ts';

// A line of a telemetry message as edges write it, between its names and numbers.
const DEVICE = ascii('{"device":"');
const TS = ascii(',"ts":');
const SEQ = ascii(',"seq":');
const VALUE = ascii(',"value":');
const UNIT = ascii(',"unit":"');
const AT = ascii(',"at":');
const NEWLINE = 0x0a;
/** Names of devices that stay known: half a megabyte. */
const DEVICES = 1 << 16;

/**
 * Reads the lines of telemetry messages, `{"device":…,"ts":…,"seq":…,"value":…,"unit":…,"at":…}` in this order, without
 * making objects of them. It takes nothing that JSON.parse would read otherwise, and leaves what is unusual. Measured:
 * 0.2 µs a line, JSON.parse and its checks 0.9 µs.
 */
export class TelemetryScanner extends JsonScanner {
  /** Of the last line that was taken. */
  device = '';
  /** Event time, epoch milliseconds. */
  ts = 0;
  value = 0;
  /** Arrival at the edge, epoch milliseconds. */
  arrivedAt = 0;
  private readonly devices = new NameTable(
    (name) => (isName(name, LIMITS.deviceBytes) ? name : undefined),
    DEVICES,
  );

  /** Reads the line at `from`, and answers where it ends: its newline, or the end of `bytes`. -1: it is unusual. */
  scan(bytes: Buffer, from: number): number {
    this.bytes = bytes;
    this.at = from;
    if (!this.takes(DEVICE)) return -1;
    const device = this.name(this.devices);
    if (device === undefined || !this.takes(TS)) return -1;
    const ts = this.whole();
    if (ts < 0 || (this.takes(SEQ) && this.whole() < 0) || !this.takes(VALUE)) return -1;
    const value = this.decimal();
    if (!Number.isFinite(value) || (this.takes(UNIT) && !this.skipsText()) || !this.takes(AT)) return -1;
    const at = this.whole();
    if (at < 0 || !this.takesByte(CLOSE_BRACE)) return -1;
    if (this.at < bytes.length && bytes[this.at] !== NEWLINE) return -1;
    this.device = device;
    this.ts = ts;
    this.value = value;
    this.arrivedAt = at;
    return this.at;
  }
}
