import type { Envelope } from './envelope.ts';
import { ascii, CLOSE_BRACE } from './json-scanner.ts';
import { HASH_SEED, hashByte, hashText } from './name-hash.ts';
import { NameTable } from './name-table.ts';
import { ReadingScanner } from './scan-readings.ts';

/** What a line says beside its payload, as far as a fold needs it. */
export type LineHead = Pick<Envelope, 'edge' | 'n' | 'site' | 'device' | 'at'> & {
  readonly [Key in 'metric' | 'mid' | 'dup' | 'forced']?: Envelope[Key] | undefined;
};

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

// An envelope as `encodeEnvelope` writes it, between its names and numbers.
const START = ascii('{"v":1,"edge":"');
const SITE = ascii(',"site":"');
const DEVICE = ascii(',"device":"');
const METRIC = ascii(',"metric":"');
const VIA = ascii(',"via":"');
const N = ascii(',"n":');
const K = ascii(',"k":');
const AT = ascii(',"at":');
const HLC = ascii(',"hlc":"');
const QOS = ascii(',"qos":');
const MID = ascii(',"mid":');
const DUP = ascii(',"dup":true');
const CRITICAL = ascii(',"class":"critical"');
const PAYLOAD = ascii(',"payload":');
const NEWLINE = 0x0a;
const SLASH = 0x2f;

/** Where a scanner finds the names of those whom it knows. */
export interface LineNames {
  /** The string to use for a site; undefined when this cannot be the name of one. */
  site(name: string): string | undefined;
  metric(name: string): string | undefined;
  /**
   * The device whose id are the ASCII bytes from..to.
   * @param hash over them, behind that of `hashSite`
   */
  device(site: string, bytes: Buffer, from: number, to: number, hash: number): string;
}

/** Where the hash of a device's id begins: every site may have a device of the same id. */
export const hashSite = (site: string): number => hashByte(hashText(HASH_SEED, site), SLASH);

/**
 * Reads the lines that nearly all devices make at a third of the time of `decodeEnvelope` and `interpret`, and without
 * garbage. A line that it takes means exactly what those two say; one that is unusual it leaves to them.
 *
 * `head` and `readings` are the scanner's own and change with the next line: copy what must stay.
 */
export class LineScanner extends ReadingScanner {
  readonly head: LineHead;
  /** Where the payload begins. */
  payloadAt = 0;
  private readonly line: Mutable<LineHead> = {
    edge: '',
    n: 0,
    site: '',
    device: '',
    at: 0,
    metric: undefined,
    mid: undefined,
    dup: undefined,
    forced: undefined,
  };
  /** Bytes of the last line before its device, and behind it; at first such as no line has. */
  private front = ascii('}');
  private middle = ascii('}');
  private readonly names: LineNames;
  private siteHash = 0;
  private readonly edges = new NameTable((edge) => edge);
  private readonly sites: NameTable;

  constructor(names: LineNames) {
    super((metric) => names.metric(metric));
    this.names = names;
    this.sites = new NameTable((site) => names.site(site));
    this.head = this.line;
  }

  /**
   * Reads the line at `from`, and answers where it ends: its newline, or the end of `bytes`. -1: it is unusual, or no
   * envelope at all, and `head` and `readings` say nothing.
   */
  scan(bytes: Buffer, from: number): number {
    this.bytes = bytes;
    this.at = from;
    if (!this.takesHead()) return -1;
    this.payloadAt = this.at;
    const { metric, at } = this.line;
    if (!this.takesPayload(metric, at) || !this.takesByte(CLOSE_BRACE)) return -1;
    if (this.at < bytes.length && bytes[this.at] !== NEWLINE) return -1;
    this.tellReadings();
    return this.at;
  }

  private takesHead(): boolean {
    const { line } = this;
    // One comparison where edge and site are those of the line before, as most are.
    if (!this.takes(this.front) && !this.takesFront()) return false;
    const from = this.at;
    if (!this.hashes(this.siteHash)) return false;
    line.device = this.names.device(line.site, this.bytes, from, this.at - 1, this.hash);
    if (!this.takes(this.middle) && !this.takesMiddle()) return false;
    line.n = this.whole();
    if (line.n < 0 || (this.takes(K) && this.whole() < 0) || !this.takes(AT)) return false;
    line.at = this.whole();
    if (line.at < 0) return false;
    if (this.takes(HLC) && !this.skipsText()) return false;
    if (this.takes(QOS) && this.whole() < 0) return false;
    line.mid = undefined;
    if (this.takes(MID)) {
      line.mid = this.whole();
      if (line.mid < 0) return false;
    }
    line.dup = this.takes(DUP) ? true : undefined;
    this.takes(CRITICAL);
    return this.takes(PAYLOAD);
  }

  /** Up to the device. */
  private takesFront(): boolean {
    const { line, at } = this;
    if (!this.takes(START)) return false;
    const edge = this.name(this.edges);
    if (edge === undefined || !this.takes(SITE)) return false;
    const site = this.name(this.sites);
    if (site === undefined || !this.takes(DEVICE)) return false;
    line.edge = edge;
    line.site = site;
    this.siteHash = hashSite(site);
    this.front = Uint8Array.from(this.bytes.subarray(at, this.at));
    return true;
  }

  /** From behind the device to the position in the spool. */
  private takesMiddle(): boolean {
    const { line, at } = this;
    let metric: string | undefined;
    if (this.takes(METRIC)) {
      metric = this.name(this.metrics);
      if (metric === undefined) return false;
    }
    if (!this.takes(VIA) || !this.skipsText() || !this.takes(N)) return false;
    line.metric = metric;
    this.middle = Uint8Array.from(this.bytes.subarray(at, this.at));
    return true;
  }
}
