import { setTimeout as delay } from 'node:timers/promises';
import { atEnd, type Scope } from '@weir/testkit';
import { ScriptedDevice } from './device.ts';
import type { KnownReading } from './recompute.ts';

export interface TrafficOptions {
  readonly mqttPort: number;
  readonly devices: number;
  /** Readings per second of one device. */
  readonly hertz: number;
}

/** Devices that publish one reading at a time at a steady rate, QoS 1, until stopped; every reading is known. */
export class Traffic {
  readonly known: KnownReading[] = [];
  readonly devices: readonly ScriptedDevice[];
  readonly #options: TrafficOptions;
  #running: Promise<void> | undefined;
  #stopping = false;

  constructor(scope: Scope, options: TrafficOptions) {
    this.#options = options;
    atEnd(scope, () => this.stop());
    this.devices = Array.from(
      { length: options.devices },
      (_, i) => new ScriptedDevice(scope, { port: options.mqttPort, id: `dev-${i}`, qos: 1, window: 20 }),
    );
  }

  get acknowledged(): number {
    return this.devices.reduce((sum, device) => sum + device.acknowledged.length, 0);
  }

  async start(): Promise<void> {
    await Promise.all(this.devices.map((device) => device.start()));
    this.#running = this.#run();
  }

  /** Ends the publishing; what is not acknowledged stays with the devices until `settled`. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
  }

  async settled(): Promise<void> {
    await Promise.all(this.devices.map((device) => device.settled()));
  }

  async disconnect(): Promise<void> {
    await Promise.all(this.devices.map((device) => device.stop()));
  }

  async #run(): Promise<void> {
    const { hertz } = this.#options;
    const began = performance.now();
    for (let seq = 0; !this.#stopping; seq++) {
      const due = began + (seq * 1_000) / hertz;
      await delay(Math.max(0, due - performance.now()));
      const ts = Date.now();
      this.devices.forEach((device, index) => {
        const reading = {
          device: `dev-${index}`,
          metric: 'temperature',
          ts,
          seq,
          value: Math.round(20_000 + 5_000 * Math.sin((seq + index) / 50)) / 1_000,
        };
        this.known.push(reading);
        device.send({
          topic: `telemetry/v1/plant-1/${reading.device}/temperature`,
          payload: JSON.stringify({ ts, seq, value: reading.value }),
        });
      });
    }
  }
}
