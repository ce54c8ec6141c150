import { Duplex } from 'node:stream';
import { checkHeader, type GateRefusal, headerLength, remainingLength, TYPE, type Verdict } from './frame.ts';
import type { GateHouse } from './house.ts';
import { Outbox, SENT } from './outbox.ts';
import { checkAck, checkConnect, checkFilters, checkPublish } from './packets.ts';
import { PartialPacket } from './partial.ts';
import { TokenBucket } from './token-bucket.ts';

/** Above this many waiting bytes a writer is asked to wait for `drain`. */
const SOFT_OUTWARD_BYTES = 64 << 10;
/** [MQTT-3.1.2-24] */
const KEEPALIVE_FACTOR = 1.5;
/** A peer that does not read its last bytes is cut off after this. */
const LINGER_MS = 2_000;

type Phase = 'connect' | 'connack' | 'open';
type Hold = 'window' | 'rate' | 'spool' | 'connack';

/** A PUBLISH with QoS 0 or 1 and without RETAIN, whatever DUP says. */
const suitsLane = (first: number): boolean => (first & 0xf5) === TYPE.publish << 4;

/**
 * Stands between a socket and aedes. Inward it lets whole, well-formed packets of a bearable size through, at most a
 * window of unanswered publishes at a time, and stops reading the socket otherwise. Outward it collects small writes
 * and bounds what waits for a slow reader. `read`, `write`, `cork` are replaced rather than built upon: the queues
 * of a Duplex cost 2 µs a message here.
 */
export class Gate extends Duplex {
  readonly openedAt: number;
  /** Set by the door when the client is known. */
  session: unknown = null;
  readonly #house: GateHouse;
  readonly #transport: Duplex;
  readonly #outbox = new Outbox();
  #phase: Phase = 'connect';
  #inbox: Buffer[] = [];
  readonly #partial = new PartialPacket();
  #held: Buffer | null = null;
  #hold: Hold | null = null;
  #pumping = false;
  #peerEnded = false;
  #inflight = 0;
  readonly #rate: TokenBucket;
  #rateTimer: NodeJS.Timeout | null = null;
  #keepaliveMs: number;
  #lastSeen: number;
  readonly #bytesRead: (() => number) | undefined;
  #seenBytes = 0;
  #unseenBytes = 0;
  #dirty = false;
  #needsDrain = false;

  /** @param bytesRead of the socket below a transport that keeps unfinished messages to itself, as WebSocket does */
  constructor(transport: Duplex, house: GateHouse, bytesRead?: () => number) {
    super({ autoDestroy: false, emitClose: true });
    this.#bytesRead = bytesRead;
    this.#seenBytes = bytesRead?.() ?? 0;
    this.#house = house;
    this.#transport = transport;
    this.openedAt = performance.now();
    this.#lastSeen = this.openedAt;
    this.#rate = new TokenBucket(house.limits.publishRate, this.openedAt);
    this.#keepaliveMs = house.limits.keepaliveMaxMs;
    house.gates.add(this);
    transport.on('data', (chunk: Buffer) => this.#arrived(chunk));
    transport.on('end', () => {
      this.#peerEnded = true;
      this.#endWhenEmpty();
    });
    transport.on('drain', () => {
      if (!this.#needsDrain || this.#waitingBytes >= SOFT_OUTWARD_BYTES) return;
      this.#needsDrain = false;
      this.emit('drain');
    });
    transport.on('error', (error: Error) => this.destroy(error));
    transport.on('close', () => this.destroy());
  }

  /** Publishes that wait for their answer. */
  get inflight(): number {
    return this.#inflight;
  }
  /** Why nothing is read from the socket at the moment. */
  get hold(): Hold | null {
    return this.#hold;
  }
  get #waitingBytes(): number {
    return this.#outbox.bytes + this.#transport.writableLength;
  }

  // ---- inward ----

  #arrived(chunk: Buffer): void {
    this.#lastSeen = this.#house.clock;
    if (this.destroyed) return;
    if (this.#bytesRead !== undefined) this.#countUnseen(this.#bytesRead(), 0);
    if (this.#held !== null) {
      this.#held = Buffer.concat([this.#held, chunk]);
      return;
    }
    this.#pumping = true;
    this.#scan(chunk);
    this.#house.lane?.seal(this);
    this.#pumping = false;
    if (this.#hold !== null) this.pump();
  }

  /** Goes on with what was held back, as far as it is allowed now. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#held !== null && !this.destroyed && this.#mayGoOn()) {
      const held = this.#held;
      this.#held = null;
      this.#hold = null;
      this.#scan(held);
      this.#house.lane?.seal(this);
    }
    this.#pumping = false;
    if (this.#held === null && this.#hold === null && this.#transport.isPaused()) {
      this.#lastSeen = this.#house.clock;
      this.#transport.resume();
    }
    this.#endWhenEmpty();
  }

  #mayGoOn(): boolean {
    switch (this.#hold) {
      case 'connack':
        return this.#phase === 'open';
      case 'window':
        return this.#inflight < this.#house.limits.inflight;
      case 'spool':
        return !this.#house.holds(this.#inflight);
      case 'rate':
        return this.#rateTimer === null;
      default:
        return true;
    }
  }

  /** Forwards the whole packets of `chunk` (after what is left of the one before) and keeps the rest. */
  #scan(chunk: Buffer): void {
    if (this.#partial.needsMoreThan(chunk.length)) {
      this.#keepPartial(chunk, 0);
      return;
    }
    this.#house.partialBytes -= this.#partial.bytes;
    const bytes = this.#partial.join(chunk);
    const end = bytes.length;
    const { packetBytes } = this.#house.limits;
    const lane = this.#phase === 'open' ? this.#house.lane : null;
    // behind what was handed on
    let start = 0;
    let at = 0;
    let wanted = 0;
    while (at < end) {
      const header = headerLength(bytes, at, end);
      if (header === 0) break;
      if (header < 0) {
        this.#refuse('malformed');
        return;
      }
      const length = remainingLength(bytes, at);
      // from the announcement alone: nothing of it is buffered
      if (header + length > packetBytes) {
        this.#refuse('packet-too-large');
        return;
      }
      const first = bytes[at] as number;
      const headed = checkHeader(first, length);
      if (headed !== 0) {
        this.#refuse(headed);
        return;
      }
      if (this.#phase === 'connect' && first >> 4 !== TYPE.connect) {
        this.#refuse('malformed'); // [MQTT-3.1.0-1]
        return;
      }
      const next = at + header + length;
      if (next > end) {
        wanted = header + length;
        break;
      }
      const hold = this.#reasonToHold(first);
      if (hold !== null) {
        this.#forward(bytes, start, at);
        this.#holdBack(bytes.subarray(at), hold);
        return;
      }
      if (lane !== null && suitsLane(first) && lane.check(this, bytes, first, at + header, next)) {
        this.#forward(bytes, start, at);
        start = at;
        if (this.destroyed) return;
        if (this.#inbox.length === 0 && lane.take()) {
          this.#rate.take();
          if ((first & 6) !== 0) this.#inflight++;
          at = next;
          start = next;
          continue;
        }
      }
      const verdict = this.#check(bytes, first, at + header, next);
      if (verdict !== 0) {
        // what came before it was in order
        if (verdict !== 'connect-refused') this.#forward(bytes, start, at);
        this.#refuse(verdict);
        return;
      }
      at = next;
    }
    this.#forward(bytes, start, at);
    if (at < end) this.#keepPartial(bytes.subarray(at), wanted);
  }

  #keepPartial(rest: Buffer, wanted: number): void {
    this.#house.partialBytes += rest.length;
    this.#partial.keep(rest, wanted);
    if (this.#house.partialBytes > this.#house.limits.partialBytes) this.#refuse('partial-memory');
  }

  #countUnseen(seen: number, unseen: number): void {
    this.#seenBytes = seen;
    this.#house.partialBytes += unseen - this.#unseenBytes;
    this.#unseenBytes = unseen;
  }

  #reasonToHold(first: number): Hold | null {
    if (this.#phase === 'connack') return 'connack';
    if (first >> 4 !== TYPE.publish) return null;
    if ((first & 6) !== 0) {
      if (this.#inflight >= this.#house.limits.inflight) return 'window';
      // QoS 0 goes on: it is shed, and counted, where its readings are known
      if (this.#house.holds(this.#inflight)) return 'spool';
    }
    return this.#rate.isEmpty() ? 'rate' : null;
  }

  #holdBack(rest: Buffer, hold: Hold): void {
    this.#held = rest;
    this.#hold = hold;
    this.#transport.pause();
    if (hold === 'connack') return;
    this.#house.events.held(hold);
    if (hold === 'spool') this.#house.waitForSpool(this);
    if (hold !== 'rate') return;
    // a tenth of a second of tokens, so that a fast sender does not cost a timer for each packet
    this.#rateTimer = setTimeout(() => {
      this.#rateTimer = null;
      this.pump();
    }, 100);
  }

  #check(bytes: Buffer, first: number, from: number, to: number): Verdict {
    const { topicBytes } = this.#house.limits;
    switch (first >> 4) {
      case TYPE.publish: {
        const qos = (first >> 1) & 3;
        const verdict = checkPublish(bytes, from, to, qos, topicBytes);
        if (verdict !== 0) return verdict;
        this.#rate.take();
        if (qos > 0) this.#inflight++;
        return 0;
      }
      case TYPE.connect:
        return this.#checkConnect(bytes, from, to);
      case TYPE.puback:
      case TYPE.pubrec:
      case TYPE.pubrel:
      case TYPE.pubcomp:
        return checkAck(bytes, from);
      case TYPE.subscribe:
        return checkFilters(bytes, from, to, true, topicBytes);
      case TYPE.unsubscribe:
        return checkFilters(bytes, from, to, false, topicBytes);
      default:
        return 0;
    }
  }

  #checkConnect(bytes: Buffer, from: number, to: number): Verdict {
    if (this.#phase !== 'connect') return 'malformed'; // [MQTT-3.1.0-2]
    const connect = checkConnect(bytes, from, to, this.#house.limits.topicBytes);
    if (connect.returnCode !== 0) this.write(Buffer.from([TYPE.connack << 4, 2, 0, connect.returnCode]));
    if (connect.verdict !== 0) return connect.verdict;
    if (connect.keepalive > 0) this.#keepaliveMs = Math.min(this.#keepaliveMs, connect.keepalive * 1_000);
    // The gate keeps watch itself: aedes would take our own holding back for silence of the client.
    bytes[connect.keepaliveAt] = 0;
    bytes[connect.keepaliveAt + 1] = 0;
    this.#phase = 'connack';
    return 0;
  }

  #forward(bytes: Buffer, from: number, to: number): void {
    if (from === to) return;
    this.#house.lane?.seal(this);
    this.#inbox.push(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to));
    if (this.#inbox.length === 1) this.emit('readable');
  }

  override read(size?: number): Buffer | null {
    // Readable asks with 0 when a listener is added; only aedes takes
    if (size === 0 || this.#inbox.length === 0) return null;
    const bytes = this.#inbox.length === 1 ? (this.#inbox[0] as Buffer) : Buffer.concat(this.#inbox);
    this.#inbox = [];
    if (this.#peerEnded) setImmediate(() => this.#endWhenEmpty());
    return bytes;
  }
  override _read(): void {}

  #endWhenEmpty(): void {
    if (!this.#peerEnded || this.destroyed || this.#held !== null || this.#inbox.length > 0) return;
    this.emit('end');
  }

  /** Called by the sweep. Silence that our own holding back causes does not count. */
  checkSilence(): void {
    const now = this.#house.clock;
    if (this.#phase !== 'open') {
      if (now - this.openedAt > this.#house.limits.connectMs) this.#refuse('connect-timeout');
    } else if (this.#hold !== null) {
      this.#lastSeen = now;
    } else if (now - this.#lastSeen > this.#keepaliveMs * KEEPALIVE_FACTOR + this.#house.sweepMs) {
      this.#refuse('keepalive');
    }
    if (this.#bytesRead === undefined || this.#hold !== null || this.destroyed) return;
    this.#countUnseen(this.#seenBytes, this.#bytesRead() - this.#seenBytes);
    const isOver = this.#house.partialBytes > this.#house.limits.partialBytes;
    if (isOver && this.#unseenBytes > 0) this.#refuse('partial-memory');
  }

  #refuse(reason: GateRefusal): void {
    this.#house.events.refused(reason);
    this.destroy(new Error(`closed by the gate: ${reason}`));
  }

  // ---- outward ----

  override write(piece: unknown, ..._rest: unknown[]): boolean {
    if (this.destroyed) return false;
    const sent = this.#outbox.add(typeof piece === 'string' ? Buffer.from(piece) : (piece as Buffer));
    this.#flushSoon();
    if (sent !== 0) this.#sent(sent);
    return this.#hasRoom();
  }

  /** Answers publishes that the lane took, by their packet ids. */
  acknowledge(ids: readonly number[]): void {
    if (this.destroyed || ids.length === 0) return;
    this.#outbox.acknowledge(ids);
    this.#flushSoon();
    this.#sent(ids.length * SENT.answer);
    this.#hasRoom();
  }

  #flushSoon(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#house.flushSoon(this);
  }

  #hasRoom(): boolean {
    const waiting = this.#waitingBytes;
    if (waiting > this.#house.limits.outwardBytes) {
      this.#refuse('outward-buffer');
      return false;
    }
    this.#needsDrain ||= waiting > SOFT_OUTWARD_BYTES;
    return !this.#needsDrain;
  }

  #sent(sent: number): void {
    if ((sent & SENT.connack) !== 0) {
      // aedes notes that the CONNACK is out in the next turn; before that it would queue, and later reorder, packets
      setImmediate(() =>
        setImmediate(() => {
          this.#phase = 'open';
          this.#lastSeen = this.#house.clock;
          this.pump();
        }),
      );
    }
    this.#inflight = Math.max(0, this.#inflight - (sent >> 1));
    if (this.#hold === 'window' || this.#hold === 'spool') this.pump();
  }

  flush(): void {
    this.#dirty = false;
    if (!this.#transport.destroyed) this.#outbox.flush(this.#transport);
    if (this.#needsDrain && this.#transport.writableLength === 0) {
      this.#needsDrain = false;
      this.emit('drain');
    }
  }

  override end(): this {
    this.flush();
    this.#transport.end();
    return this;
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.flush();
    this.#house.forget(this);
    this.#house.partialBytes -= this.#partial.bytes + this.#unseenBytes;
    this.#unseenBytes = 0;
    this.#partial.drop();
    if (this.#held !== null) this.#house.lose(this.#held, this.#hold === 'rate');
    this.#held = null;
    this.#inbox = [];
    if (this.#rateTimer !== null) clearTimeout(this.#rateTimer);
    const transport = this.#transport;
    if (!transport.destroyed) {
      if (transport.writableLength === 0) {
        transport.destroy();
      } else {
        // the last bytes (a CONNACK that refuses) are still on their way
        const linger = setTimeout(() => transport.destroy(), LINGER_MS);
        transport.once('close', () => clearTimeout(linger));
        transport.end(() => transport.destroy());
      }
    }
    done(error);
  }
}

// mqtt-packet corks a stream that can be corked, with a nextTick for every packet; the outbox does that already.
Object.defineProperty(Gate.prototype, 'cork', { value: undefined });
