import { encodeTopic, Link, type LinkOptions } from '@weir/connect-mqtt';
import { errorMessage, fullJitter, WeirError } from '@weir/flow';
import { DeviceBuffer } from './buffer.ts';
import type { FleetState } from './state.ts';
import type { FleetStats } from './stats.ts';
import type { ValueModel } from './values.ts';

export interface Metric {
  readonly name: string;
  /** Sent with a single metric; undefined when nobody knows it. */
  readonly unit: string | undefined;
  readonly next: ValueModel;
}

export interface DeviceOptions {
  readonly site: string;
  readonly device: string;
  /** One metric is sent as `value` under a topic of its own, several as `values`. */
  readonly metrics: readonly [Metric, ...Metric[]];
  readonly host: string;
  readonly port: number;
  readonly qos: 0 | 1 | 2;
  readonly secret: string | undefined;
  /** Readings that wait for the broker; the oldest goes when one more comes. */
  readonly bufferSize: number;
  /** Readings sent and not acknowledged at a time. */
  readonly window: number;
  readonly state: FleetState;
  readonly stats: FleetStats;
  readonly random: () => number;
  /** Told the first time, and then when the reason changes. */
  readonly onTrouble: (message: string) => void;
}

const BACKOFF_BASE_MS = 250;
const BACKOFF_MAX_MS = 30_000;
/** A socket that holds more than this is not given more: the broker is not reading. */
const SOCKET_BYTES = 64 << 10;

/** A device as it should be: it numbers, buffers and resends its readings, and backs off when the broker is away. */
export class VirtualDevice {
  readonly #options: DeviceOptions;
  readonly #buffer: DeviceBuffer;
  readonly #topic: Buffer;
  #link: Link | undefined;
  #connected = false;
  #attempt = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #trouble = '';

  constructor(options: DeviceOptions) {
    this.#options = options;
    this.#buffer = new DeviceBuffer(options.bufferSize);
    const { site, device, metrics } = options;
    const base = `telemetry/v1/${site}/${device}`;
    this.#topic = encodeTopic(metrics.length === 1 ? `${base}/${metrics[0].name}` : base);
  }

  get name(): string {
    return this.#options.device;
  }
  get connected(): boolean {
    return this.#connected;
  }
  get buffered(): number {
    return this.#buffer.size;
  }

  start(): void {
    this.#connect().catch((error: unknown) => this.#retry(error));
  }

  /** Measures now; the reading waits in the buffer until the broker has it. */
  measure(ts = Date.now()): void {
    const { device, metrics, state, stats } = this.#options;
    const seq = state.nextSeq(device);
    const pushedOut = this.#buffer.push({
      seq,
      id: ((seq - 1) % 65_535) + 1,
      topic: this.#topic,
      payload: Buffer.from(payloadOf(metrics, ts, seq)),
      firstSentAt: 0,
      acked: false,
    });
    if (pushedOut !== undefined) stats.dropped++;
    this.#send();
  }

  /** Closes with DISCONNECT; readings that were not acknowledged are given up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#connected = false;
    await this.#link?.end();
  }

  /** Ends the connection as a power cut would; the device comes back by itself. */
  cut(): void {
    this.#link?.destroy();
    this.#lost(new Error('cut'));
  }

  async #connect(): Promise<void> {
    const { host, port, device, secret } = this.#options;
    const options: LinkOptions = {
      host,
      port,
      clientId: device,
      ...(secret === undefined ? {} : { username: device, password: secret }),
    };
    const link = new Link(options, {
      onAck: (id) => this.#acknowledged(id),
      onClose: (error) => this.#lost(error),
    });
    this.#link = link;
    await link.opened();
    this.#connected = true;
    this.#attempt = 0;
    this.#trouble = '';
    this.#send();
  }

  #send(): void {
    const { qos, window, stats } = this.#options;
    const link = this.#link;
    if (!this.#connected || link === undefined) return;
    while (this.#buffer.inFlight < window && link.pendingBytes < SOCKET_BYTES) {
      const reading = this.#buffer.take();
      if (reading === undefined) return;
      const again = reading.firstSentAt > 0;
      if (again) stats.resent++;
      else {
        stats.sent++;
        reading.firstSentAt = performance.now();
      }
      link.publish(reading.topic, reading.payload, { qos, id: reading.id, dup: again && qos > 0 });
      if (qos === 0) this.#buffer.acknowledge(reading.id);
    }
  }

  #acknowledged(id: number): void {
    const reading = this.#buffer.acknowledge(id);
    if (reading !== undefined) this.#options.stats.recordAck(performance.now() - reading.firstSentAt);
    this.#send();
  }

  #lost(error: unknown): void {
    if (this.#stopped || !this.#connected) return;
    this.#connected = false;
    this.#buffer.rewind();
    this.#options.stats.reconnects++;
    this.#retry(error);
  }

  #retry(error: unknown): void {
    if (this.#stopped) return;
    const { stats, random, onTrouble } = this.#options;
    const fatal = error instanceof WeirError && error.retry === 'fatal';
    if (fatal) stats.refused++;
    const reason = errorMessage(error);
    if (reason !== this.#trouble) onTrouble(reason);
    this.#trouble = reason;
    // A refusal mends only when a person changes something, so it is tried at the slowest pace.
    const waitMs = fatal
      ? BACKOFF_MAX_MS * (0.5 + random() / 2)
      : fullJitter(this.#attempt++, { baseMs: BACKOFF_BASE_MS, maxMs: BACKOFF_MAX_MS, random });
    this.#timer = setTimeout(() => this.start(), waitMs);
  }
}

/** The payload forms of the conventions: `value` with its unit, or `values` by metric. */
export function payloadOf(metrics: DeviceOptions['metrics'], ts: number, seq: number): string {
  const [first, ...others] = metrics;
  if (others.length === 0) {
    const unit = first.unit === undefined ? '' : `,"unit":"${first.unit}"`;
    return `{"ts":${ts},"seq":${seq},"value":${first.next(ts)}${unit}}`;
  }
  const values = metrics.map(({ name, next }) => `"${name}":${next(ts)}`).join(',');
  return `{"ts":${ts},"seq":${seq},"values":{${values}}}`;
}
