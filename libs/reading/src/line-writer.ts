import { digitsOf, writeWhole } from './byte-writer.ts';
import { HLC_BYTES } from './hlc.ts';

const ZERO = 0x30;
const NEWLINE = 0x0a;
const CLOSE_BRACE = 0x7d;

const text = (ascii: string): Uint8Array => Uint8Array.from(Buffer.from(ascii, 'latin1'));
const K = text(',"k":');
const AT = text(',"at":');
const HLC = text(',"hlc":"');
const QOS = text('","qos":');
const MID = text(',"mid":');
const DUP = text(',"dup":true');
const CRITICAL = text(',"class":"critical"');
const PAYLOAD = text(',"payload":');
/** What is in every line, besides its prefix, its numbers and its payload. */
const FIXED_BYTES = K.length + AT.length + HLC.length + HLC_BYTES + QOS.length + 1 + PAYLOAD.length + 2;

/** Stamps lines: `HybridClock.tickTo`. */
export interface LineClock {
  tickTo(now: number, target: Uint8Array, at: number): void;
}

/** Head of a line of an MQTT publish; as `EnvelopeHead`. */
export interface PublishHead {
  readonly n: number;
  readonly k: number;
  readonly at: number;
  readonly qos: 0 | 1;
  /** 0: none. */
  readonly mid: number;
  readonly dup: boolean;
  readonly critical: boolean;
}

/**
 * Writes the line that `encodeEnvelope` makes to where it is to stand, without making anything on the way. One line at
 * a time: `set` tells its length, `copy` writes it.
 */
export class LineWriter {
  /** Bytes of the whole line. */
  length = 0;
  readonly #clock: LineClock;
  #prefix: Buffer = Buffer.alloc(0);
  #n = 0;
  #k = 0;
  #at = 0;
  #qos = 0;
  #mid = 0;
  #dup = false;
  #critical = false;
  #source: Buffer = this.#prefix;
  #from = 0;
  #to = 0;

  constructor(clock: LineClock) {
    this.#clock = clock;
  }

  /**
   * The next line. The payload, bytes from..to of `source`, must be one that `PayloadScanner` took.
   * @param prefix of `envelopePrefix`
   */
  set(prefix: Buffer, head: PublishHead, source: Buffer, from: number, to: number): void {
    const { n, k, at, qos, mid, dup, critical } = head;
    let length = FIXED_BYTES + prefix.length + to - from + digitsOf(n) + digitsOf(k) + digitsOf(at);
    if (mid > 0) length += MID.length + digitsOf(mid);
    if (dup) length += DUP.length;
    if (critical) length += CRITICAL.length;
    this.length = length;
    this.#prefix = prefix;
    this.#n = n;
    this.#k = k;
    this.#at = at;
    this.#qos = qos;
    this.#mid = mid;
    this.#dup = dup;
    this.#critical = critical;
    this.#source = source;
    this.#from = from;
    this.#to = to;
  }

  /** Writes and stamps it, to the bytes of `target` from `start` on, as Buffer's own `copy` does. */
  copy(target: Uint8Array, start: number): void {
    let at = start + this.#prefix.copy(target, start);
    at = writeWhole(target, at, this.#n);
    at = writeText(target, at, K);
    at = writeWhole(target, at, this.#k);
    at = writeText(target, at, AT);
    at = writeWhole(target, at, this.#at);
    at = writeText(target, at, HLC);
    this.#clock.tickTo(this.#at, target, at);
    at = writeText(target, at + HLC_BYTES, QOS);
    target[at++] = ZERO + this.#qos;
    if (this.#mid > 0) {
      at = writeText(target, at, MID);
      at = writeWhole(target, at, this.#mid);
    }
    if (this.#dup) at = writeText(target, at, DUP);
    if (this.#critical) at = writeText(target, at, CRITICAL);
    at = writeText(target, at, PAYLOAD);
    at += this.#source.copy(target, at, this.#from, this.#to);
    target[at] = CLOSE_BRACE;
    target[at + 1] = NEWLINE;
  }
}

// A loop: for so few bytes a call of `set` takes longer.
function writeText(target: Uint8Array, at: number, ascii: Uint8Array): number {
  for (let i = 0; i < ascii.length; i++) target[at + i] = ascii[i] as number;
  return at + ascii.length;
}
