import { encodeTopic, Link } from '@weir/connect-mqtt';
import { errorMessage, fullJitter, WeirError } from '@weir/flow';
import { type Metric, payloadOf } from '../fleet/device.ts';
import { Bits } from '../measure/bits.ts';
import { type Cursor, KINDS } from '../scenario/cursor.ts';
import type { PlannedConnection, PlannedDevice } from '../scenario/fleet-plan.ts';
import type { DeviceClass } from '../scenario/schema.ts';
import type { Counts } from './messages.ts';

/** A publish that waits for its acknowledgement. */
interface InFlight {
  readonly topic: Buffer;
  readonly payload: Buffer;
  /** When it was meant to leave, milliseconds from the start. */
  readonly at: number;
  /** undefined: it is no reading. */
  readonly device: LaneDevice | undefined;
  readonly seq: number;
  again: boolean;
}

/** What lanes share: counters, latencies, the clock. */
export interface Measures {
  readonly counts: Counts;
  /** Milliseconds from the start of the schedule. */
  now(): number;
  /** Epoch milliseconds of the start. */
  startAt: number;
  acknowledged(classIndex: number, at: number, now: number): void;
  connected(ms: number): void;
  slipped(ms: number): void;
  trouble(message: string): void;
}

/** A publish that leaves so much later than meant is counted as late. */
const LATE_MS = 100;
/** A socket that holds more than this is not given more: the edge is not reading. */
const SOCKET_BYTES = 256 << 10;
const OVERSIZED = Buffer.alloc(300 << 10, 0x20);
const MALFORMED = Buffer.from('{"ts":12,"value":');
/** A refused credential is not mended by asking again at once. */
const REFUSED_MS = 30_000;

export class LaneDevice {
  readonly plan: PlannedDevice;
  readonly cursor: Cursor;
  readonly metrics: readonly [Metric, ...Metric[]];
  readonly topic: Buffer;
  /** Numbers of the readings that were put on the wire. */
  readonly sent = new Bits();
  readonly acknowledged = new Bits();
  /** Its place among the devices of the worker. */
  readonly item: number;
  /** Its schedule has nothing more. */
  isOver = false;

  constructor(plan: PlannedDevice, item: number, metrics: readonly [Metric, ...Metric[]]) {
    this.plan = plan;
    this.item = item;
    this.cursor = plan.cursor;
    this.metrics = metrics;
    const base = `telemetry/v1/${plan.site}/${plan.name}`;
    this.topic = encodeTopic(metrics.length === 1 ? `${base}/${metrics[0].name}` : base);
  }

  /** Steps to its next publish. */
  next(): boolean {
    this.isOver = !this.cursor.advance();
    return !this.isOver;
  }
}

/**
 * One connection of the schedule and the devices on it. It holds no readings back of its own will: what is due leaves at
 * once, or as soon as the connection and its window allow, and its latency counts from when it was due.
 */
export class Lane {
  readonly devices: readonly LaneDevice[];
  readonly plan: PlannedConnection;
  readonly #spec: DeviceClass;
  readonly #measures: Measures;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #secret: string | undefined;
  /** By packet id. */
  readonly #inFlight: (InFlight | undefined)[] = [undefined];
  readonly #freeIds: number[] = [];
  #flying = 0;
  /** Sent on a connection that was lost, oldest first. */
  #again: number[] = [];
  /** Devices whose publish is due and cannot leave. */
  readonly waiting: LaneDevice[] = [];
  #link: Link | undefined;
  #isOpen = false;
  #attempt = 0;
  #retry: NodeJS.Timeout | undefined;
  #ended = false;
  /** Called when there is room again and `waiting` is not empty. */
  readonly #onRoom: (lane: Lane) => void;

  constructor(
    plan: PlannedConnection,
    spec: DeviceClass,
    devices: readonly LaneDevice[],
    target: { readonly host: string; readonly port: number },
    secret: string | undefined,
    measures: Measures,
    onRoom: (lane: Lane) => void,
  ) {
    this.plan = plan;
    this.#spec = spec;
    this.devices = devices;
    this.#target = target;
    this.#secret = secret;
    this.#measures = measures;
    this.#onRoom = onRoom;
  }

  get inFlight(): number {
    return this.#flying;
  }
  get hasRoom(): boolean {
    return (
      this.#isOpen && this.#flying < this.#spec.window && (this.#link as Link).pendingBytes < SOCKET_BYTES
    );
  }

  dial(): void {
    const { host, port } = this.#target;
    const { counts, now, connected } = this.#measures;
    const began = now();
    counts.dialed++;
    const link = new Link(
      {
        host,
        port,
        clientId: this.#secret === undefined ? this.plan.clientId : (this.devices[0]?.plan.name ?? ''),
        keepaliveS: Math.round(this.#spec.keepalive / 1000),
        connectTimeoutMs: this.#spec.connect.timeout,
        ...(this.#secret === undefined
          ? {}
          : { username: this.devices[0]?.plan.name ?? '', password: this.#secret }),
      },
      { onAck: (id) => this.#acknowledged(id), onClose: (error) => this.#lost(error) },
    );
    this.#link = link;
    link.opened().then(
      () => {
        if (this.#link !== link) return;
        this.#isOpen = true;
        this.#attempt = 0;
        counts.connected++;
        connected(now() - began);
        this.#sendAgain();
        if (this.waiting.length > 0) this.#onRoom(this);
      },
      (error: unknown) => {
        if (this.#link === link) this.#failed(error);
      },
    );
  }

  /** Ends the connection as a power cut would. */
  cut(): void {
    clearTimeout(this.#retry);
    if (this.#isOpen) this.#measures.counts.connected--;
    this.#isOpen = false;
    this.#link?.destroy();
    this.#link = undefined;
    this.#rewind();
  }

  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#retry);
    const link = this.#link;
    if (this.#isOpen) this.#measures.counts.connected--;
    this.#isOpen = false;
    this.#link = undefined;
    await link?.end();
  }

  /** Sends what the device's cursor stands at; only with room. */
  publish(device: LaneDevice): void {
    const { counts, startAt } = this.#measures;
    const { at, ts, seq, kind, copies } = device.cursor;
    const slip = this.#measures.now() - at;
    this.#measures.slipped(slip);
    if (slip > LATE_MS) counts.sentLate++;
    if (kind === KINDS.oversized) {
      counts.oversized++;
      // The edge ends the connection for it, so nobody waits for an answer.
      this.#link?.publish(device.topic, OVERSIZED, { qos: 0, id: 0 });
      return;
    }
    if (kind === KINDS.malformed) {
      counts.malformed++;
      this.#send({ topic: device.topic, payload: MALFORMED, at, device: undefined, seq: 0, again: false });
      return;
    }
    const payload = Buffer.from(payloadOf(device.metrics, startAt + ts, seq));
    counts.sent++;
    device.sent.add(seq);
    this.#send({ topic: device.topic, payload, at, device, seq, again: false });
    if (copies === 2) {
      counts.sentTwice++;
      this.#send({ topic: device.topic, payload, at, device, seq, again: true });
    }
  }

  #send(message: InFlight): void {
    const { qos } = this.#spec;
    let id = 0;
    if (qos > 0) {
      id = this.#freeIds.pop() ?? this.#inFlight.length;
      this.#inFlight[id] = message;
      this.#flying++;
    }
    this.#link?.publish(message.topic, message.payload, { qos, id });
  }

  #acknowledged(id: number): void {
    const message = this.#inFlight[id];
    if (message === undefined) return;
    this.#inFlight[id] = undefined;
    this.#freeIds.push(id);
    this.#flying--;
    const { counts, now, acknowledged } = this.#measures;
    if (message.device?.acknowledged.add(message.seq) === true) {
      counts.acknowledged++;
      acknowledged(this.plan.classIndex, message.at, now());
    }
    if (this.waiting.length > 0) this.#onRoom(this);
  }

  #rewind(): void {
    this.#again = [];
    for (const [id, message] of this.#inFlight.entries()) if (message !== undefined) this.#again.push(id);
  }

  #sendAgain(): void {
    const { counts } = this.#measures;
    for (const id of this.#again) {
      const message = this.#inFlight[id];
      if (message === undefined) continue;
      if (message.device !== undefined) counts.resent++;
      this.#link?.publish(message.topic, message.payload, { qos: this.#spec.qos, id, dup: true });
    }
    this.#again = [];
  }

  #lost(error: Error): void {
    if (!this.#isOpen || this.#ended) return;
    const { counts, trouble } = this.#measures;
    this.#isOpen = false;
    counts.connected--;
    counts.reconnects++;
    trouble(error.message);
    this.#rewind();
    this.#dialLater(error);
  }

  #failed(error: unknown): void {
    const { counts, trouble } = this.#measures;
    if (error instanceof WeirError && error.retry === 'fatal') counts.refused++;
    else counts.failedDials++;
    trouble(errorMessage(error));
    this.#dialLater(error);
  }

  #dialLater(error: unknown): void {
    if (this.#ended) return;
    const { retry, retryMax } = this.#spec.connect;
    const isRefused = error instanceof WeirError && error.retry === 'fatal';
    // Its pauses are no part of the schedule: they follow from what the edge did.
    const waitMs = isRefused ? REFUSED_MS : fullJitter(this.#attempt++, { baseMs: retry, maxMs: retryMax });
    this.#retry = setTimeout(() => this.dial(), waitMs);
  }
}
