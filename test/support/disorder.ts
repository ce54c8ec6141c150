import { setTimeout as delay } from 'node:timers/promises';
import { seeded } from '@weir/load';
import { atEnd, type Scope } from '@weir/testkit';
import { ScriptedDevice } from './device.ts';
import type { KnownReading } from './recompute.ts';

export interface DisorderOptions {
  readonly mqttPort: number;
  readonly seed: number;
  readonly devices: number;
  /** Readings per second of one device, repetitions apart. */
  readonly hertz: number;
  /** What the devices' clocks say when the traffic starts, epoch milliseconds. */
  readonly from: number;
  readonly outOfOrdernessMs: number;
  readonly allowedLatenessMs: number;
}

/** Shares of the readings. */
const DUPLICATES = 0.02;
const LATE = 0.05;
const TOO_LATE = 0.01;
const OFFSET_MS = 600_000;
/** A device repeats one of its newest readings. */
const REMEMBERED = 20;

/**
 * Devices as they are: one in ten has a clock 10 minutes fast, one in ten 10 minutes slow; some readings are sent twice,
 * some late, some later than is allowed. Each device is a connection of its own, so its readings reach the log in the
 * order in which they were sent.
 */
export class DisorderlyTraffic {
  /** By device, everything it sent, repetitions included, in that order. */
  readonly sent: readonly KnownReading[][];
  readonly devices: readonly ScriptedDevice[];
  readonly #options: DisorderOptions;
  readonly #random: () => number;
  readonly #seqs: number[];
  #running: Promise<void> | undefined;
  #stopping = false;

  constructor(scope: Scope, options: DisorderOptions) {
    this.#options = options;
    this.#random = seeded(options.seed);
    atEnd(scope, () => this.stop());
    const { devices, mqttPort } = options;
    this.sent = Array.from({ length: devices }, () => []);
    this.#seqs = this.sent.map(() => 0);
    this.devices = this.sent.map(
      (_, i) => new ScriptedDevice(scope, { port: mqttPort, id: nameOf(i), qos: 1, window: 20 }),
    );
  }

  get acknowledged(): number {
    return this.devices.reduce((sum, device) => sum + device.acknowledged.length, 0);
  }

  async start(): Promise<void> {
    await Promise.all(this.devices.map((device) => device.start()));
    this.#running = this.#run();
  }

  /** Ends the publishing and waits until everything is acknowledged. */
  async settle(): Promise<void> {
    await this.stop();
    await Promise.all(this.devices.map((device) => device.settled()));
    await Promise.all(this.devices.map((device) => device.stop()));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    const { hertz, from } = this.#options;
    const began = performance.now();
    for (let tick = 0; !this.#stopping; tick++) {
      const due = (tick * 1_000) / hertz;
      await delay(Math.max(0, began + due - performance.now()));
      for (const index of this.devices.keys()) this.#say(index, Math.round(from + due));
    }
  }

  #say(index: number, now: number): void {
    const sent = this.sent[index] as KnownReading[];
    const seq = this.#seqs[index] as number;
    this.#seqs[index] = seq + 1;
    const value = Math.round(1e6 * this.#random()) / 1_000 - 300;
    const ts = Math.round(now + offsetOf(index) - this.#ageMs());
    this.#send(index, { device: nameOf(index), metric: 'temperature', ts, seq, value });
    if (this.#random() >= DUPLICATES) return;
    const back = 1 + Math.floor(this.#random() * Math.min(REMEMBERED, sent.length));
    this.#send(index, sent[sent.length - back] as KnownReading);
  }

  #ageMs(): number {
    const { outOfOrdernessMs, allowedLatenessMs } = this.#options;
    const kind = this.#random();
    const share = this.#random();
    if (kind < TOO_LATE) return outOfOrdernessMs + allowedLatenessMs + 3_000 + share * 300_000;
    if (kind < TOO_LATE + LATE) return outOfOrdernessMs + share * (allowedLatenessMs - 1_000);
    return 0;
  }

  #send(index: number, reading: KnownReading): void {
    const { device, metric, ts, seq, value } = reading;
    this.sent[index]?.push(reading);
    this.devices[index]?.send({
      topic: `telemetry/v1/plant-1/${device}/${metric}`,
      payload: JSON.stringify({ ts, seq, value }),
    });
  }
}

const nameOf = (index: number): string => `dev-${index}`;

function offsetOf(index: number): number {
  if (index % 10 === 3) return OFFSET_MS;
  return index % 10 === 7 ? -OFFSET_MS : 0;
}
