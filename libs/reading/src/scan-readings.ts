import { DEFAULT_METRIC } from './interpret.ts';
import {
  ascii,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COMMA,
  JsonScanner,
  OPEN_BRACE,
  OPEN_BRACKET,
} from './json-scanner.ts';
import { NameTable } from './name-table.ts';
import { LIMITS, type Reading } from './reading.ts';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

// What a reading is made of.
const TS = ascii('"ts"');
const SEQ = ascii('"seq"');
const VALUE = ascii('"value"');
const UNIT = ascii('"unit"');
const VALUES = ascii('"values"');
const CLOUD_EVENT = ascii('"specversion"');
const QUOTE = 0x22;
const ZERO = 0x30;
const NINE = 0x39;

/** Metrics of one message that are compared with each other, for a name that occurs twice. */
const MOST_METRICS = 32;

/** Reads payloads of readings where they stand. What it takes means exactly what `interpret` says of it. */
export class ReadingScanner extends JsonScanner {
  /** Of the last payload that was taken, after `tellReadings`; overwritten by the next. */
  readonly readings: readonly Reading[];
  private readonly out: Reading[] = [];
  /** The first `count` of them belong to the payload. */
  private readonly made: Mutable<Reading>[] = [];
  protected count = 0;
  /** The latest stamp in the payload, epoch milliseconds; -1 when it has none. */
  protected latest = -1;
  private metric: string | undefined;
  private arrival = 0;
  protected readonly metrics: NameTable;
  private readonly units = new NameTable((unit) => (unit.length <= LIMITS.unitBytes ? unit : undefined));

  /** @param metric the string to use for a metric; undefined when this cannot be the name of one */
  constructor(metric: (name: string) => string | undefined) {
    super();
    this.metrics = new NameTable(metric);
    this.readings = this.out;
  }

  /** Makes `readings` those of the payload that was taken last. */
  protected tellReadings(): void {
    const { out, made, count } = this;
    while (out.length > count) out.pop();
    while (out.length < count) out.push(made[out.length] as Reading);
  }

  /**
   * Takes a payload.
   * @param metric that the topic names
   * @param arrival epoch milliseconds
   */
  protected takesPayload(metric: string | undefined, arrival: number): boolean {
    this.metric = metric;
    this.arrival = arrival;
    this.count = 0;
    this.latest = -1;
    if (!this.takesByte(OPEN_BRACKET)) return this.takesElement();
    for (;;) {
      this.blanks();
      if (!this.takesElement()) return false;
      this.blanks();
      if (this.takesByte(CLOSE_BRACKET)) return true;
      if (!this.takesByte(COMMA)) return false;
    }
  }

  private takesElement(): boolean {
    if (this.takesByte(OPEN_BRACE)) return this.takesObject();
    const value = this.decimal();
    if (!Number.isFinite(value)) return false;
    this.add(this.metric ?? DEFAULT_METRIC, value, undefined);
    this.stamp(this.count - 1, -1, undefined);
    return true;
  }

  private takesObject(): boolean {
    const first = this.count;
    let ts = -1;
    let seq: number | undefined;
    let value = Number.NaN;
    let unit: string | undefined;
    do {
      this.blanks();
      if (this.takesKey(TS)) {
        if (ts >= 0) return false;
        ts = this.whole();
        if (ts < LIMITS.minTs) return false;
      } else if (this.takesKey(SEQ)) {
        if (seq !== undefined) return false;
        seq = this.whole();
        if (seq < 0) return false;
      } else if (this.takesKey(VALUE)) {
        if (!Number.isNaN(value)) return false;
        value = this.decimal();
        if (!Number.isFinite(value)) return false;
      } else if (this.takesKey(UNIT)) {
        if (unit !== undefined || !this.takesByte(QUOTE)) return false;
        unit = this.name(this.units);
        if (unit === undefined) return false;
      } else if (this.takesKey(VALUES)) {
        if (this.count > first || !this.takesValues()) return false;
      } else if (this.takes(CLOUD_EVENT) || !this.skipsKey() || !this.skipsValue()) {
        return false;
      }
      this.blanks();
    } while (this.takesByte(COMMA));
    if (!this.takesByte(CLOSE_BRACE)) return false;
    if (this.count === first) {
      if (Number.isNaN(value)) return false;
      this.add(this.metric ?? DEFAULT_METRIC, value, unit);
    } else if (!Number.isNaN(value) || unit !== undefined || this.metric !== undefined) {
      return false;
    }
    this.stamp(first, ts, seq);
    return true;
  }

  private takesKey(key: Uint8Array): boolean {
    return this.takes(key) && this.takesColon();
  }

  /** The metrics of `values`, by name. A name of digits is left: JSON.parse would put it before the others. */
  private takesValues(): boolean {
    if (!this.takesByte(OPEN_BRACE)) return false;
    const first = this.count;
    do {
      this.blanks();
      if (!this.takesByte(QUOTE)) return false;
      const initial = this.bytes[this.at] as number;
      if (initial >= ZERO && initial <= NINE) return false;
      const metric = this.name(this.metrics);
      if (metric === undefined || this.count - first >= MOST_METRICS) return false;
      for (let i = first; i < this.count; i++) if ((this.made[i] as Reading).metric === metric) return false;
      if (!this.takesColon()) return false;
      const value = this.decimal();
      if (!Number.isFinite(value)) return false;
      this.add(metric, value, undefined);
      this.blanks();
    } while (this.takesByte(COMMA));
    return this.takesByte(CLOSE_BRACE);
  }

  private add(metric: string, value: number, unit: string | undefined): void {
    const known = this.made[this.count];
    if (known === undefined) {
      this.made.push({ metric, ts: 0, stamped: false, seq: undefined, value, unit });
    } else {
      known.metric = metric;
      known.value = value;
      known.unit = unit;
    }
    this.count++;
  }

  /** @param ts -1: the device sent none */
  private stamp(first: number, ts: number, seq: number | undefined): void {
    if (ts > this.latest) this.latest = ts;
    for (let i = first; i < this.count; i++) {
      const reading = this.made[i] as Mutable<Reading>;
      reading.ts = ts < 0 ? this.arrival : ts;
      reading.stamped = ts >= 0;
      reading.seq = seq;
    }
  }
}
