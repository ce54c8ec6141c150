import { type OwnQueue, openOwnQueue, queueDepths, vhostOf } from '@weir/connect-rabbitmq';
import { errorMessage } from '@weir/flow';
import type { Logger } from '@weir/observe';
import { splitLines } from '@weir/reading';
import { FLEET_QUEUE, fleetQueue } from '@weir/topology';
import { Histogram } from '../measure/histogram.ts';
import type { SentDevice } from '../open/send.ts';
import { readBatchLine } from './read-line.ts';
import { type Register, type SinkReport, Tally } from './tally.ts';

const PREFETCH = 200;
const LOOK_MS = 5_000;

export interface RabbitOptions {
  readonly url: string;
  readonly managementUrl: string;
  readonly run: string;
  readonly sites: readonly string[];
  readonly register: Register;
  /** Metrics of a device's class in their order. */
  readonly metricsOf: (id: number) => readonly string[];
  /** Most metrics of any device. */
  readonly slots: number;
  /** Whether the stamps of a device tell when its readings were meant to leave. */
  readonly isPunctual: (id: number) => boolean;
  readonly log: Logger;
}

/** A bounded queue of the run's own, counted as it fills: RabbitMQ keeps nothing for later. */
export class RabbitSink {
  /** From the stamp of a reading to its arrival here, by class of the reading. */
  readonly latency = { normal: new Histogram(), critical: new Histogram() };
  readonly #options: RabbitOptions;
  readonly #queue: OwnQueue;
  readonly #tally: Tally;
  #deepest = 0;
  #trouble: string | null = null;
  #look: NodeJS.Timeout | undefined;
  #lastAt = performance.now();

  constructor(options: RabbitOptions) {
    this.#options = options;
    const { register, url, run, sites, log } = options;
    this.#tally = new Tally(register, options.slots);
    this.#queue = openOwnQueue({
      url,
      name: `weir fleet ${run}`,
      queue: fleetQueue(run, sites),
      prefetch: PREFETCH,
      log,
      handler: async ({ key, body }) => {
        this.#take(key, body);
        return 'ack';
      },
    });
  }

  get name(): string {
    return fleetQueue(this.#options.run, []).name;
  }

  /** Resolves when the queue is bound. @throws Error after `deadlineMs` */
  async start(deadlineMs = 15_000): Promise<void> {
    this.#queue.start();
    const deadline = performance.now() + deadlineMs;
    while (!this.#queue.consuming) {
      if (performance.now() > deadline)
        throw new Error(
          `RabbitMQ is not there: ${errorMessage(this.#queue.lastError ?? new Error('no answer'))}`,
        );
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.#look = setInterval(() => {
      this.#depth().catch((error: unknown) => {
        this.#trouble = `the depth of its queue is not known: ${errorMessage(error)}`;
      });
    }, LOOK_MS);
  }

  /** Resolves when nothing has come for `quietMs`, at most `deadlineMs`. */
  async settled(quietMs: number, deadlineMs: number): Promise<void> {
    const deadline = performance.now() + deadlineMs;
    const from = performance.now();
    const quiet = () => performance.now() - Math.max(from, this.#lastAt) > quietMs;
    while (!quiet() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 50));
  }

  async stop(): Promise<void> {
    clearInterval(this.#look);
    await this.#queue.stop();
  }

  report(devices: readonly SentDevice[]): SinkReport {
    const { metricsOf } = this.#options;
    const isFull = this.#deepest >= FLEET_QUEUE.messages;
    const why = isFull ? 'its queue was full and dropped its oldest messages' : this.#trouble;
    return this.#tally.report(devices, 'values', 0, why, (id) => metricsOf(id).length);
  }

  async #depth(): Promise<void> {
    const { managementUrl, url } = this.#options;
    const depths = await queueDepths(managementUrl, vhostOf(url));
    const own = depths.find(({ name }) => name === this.name);
    this.#deepest = Math.max(this.#deepest, (own?.ready ?? 0) + (own?.unacked ?? 0));
  }

  /** `telemetry.<class>.<site>.<metric>[.<device>]` */
  #take(key: string, body: Buffer): void {
    const [, readingClass, site = '', metric = ''] = key.split('.');
    const { register, metricsOf, isPunctual } = this.#options;
    const now = Date.now();
    const latency = readingClass === 'critical' ? this.latency.critical : this.latency.normal;
    this.#lastAt = performance.now();
    for (const line of splitLines(body))
      readBatchLine(register, site, line, (id, seq, ts) => {
        const slot = metricsOf(id).indexOf(metric);
        if (slot < 0) return; // Derived from what was sent.
        this.#tally.take(id, seq, slot);
        if (isPunctual(id)) latency.record(now - ts);
      });
  }
}
