import { WeirError } from '@weir/flow';
import { type DeviceOptions, type Metric, VirtualDevice } from './device.ts';
import { seeded, seedOf } from './random.ts';
import { positionOf, readRecording } from './recording.ts';
import { FleetState } from './state.ts';
import { type FleetFigures, FleetStats } from './stats.ts';
import { constant, sine, walk } from './values.ts';

export interface RecordedDevice {
  readonly file: string;
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  /** Time in the recording at which the first run begins. */
  readonly from: string;
}

export interface FleetOptions {
  readonly devices: number;
  /** Publishes a second of each device, 0.001 to 1,000. */
  readonly rate: number;
  readonly qos: 0 | 1 | 2;
  readonly host: string;
  readonly port: number;
  /** Devices are spread over this many sites, `<site>-1` and on. */
  readonly sites: number;
  readonly site: string;
  /** Devices are named `<prefix>-0001` and on. */
  readonly prefix: string;
  readonly bufferSize: number;
  readonly window: number;
  readonly seed: number;
  readonly stateFile: string;
  readonly recorded?: RecordedDevice;
  /** Device → secret; a device without one connects anonymously. */
  readonly secrets?: ReadonlyMap<string, string>;
  readonly onTrouble?: (device: string, message: string) => void;
}

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
/** New connections in one millisecond of the start: a fleet that comes all at once is a test of its own. */
const CONNECTS_PER_MS = 0.5;

function metricsOf(kind: number, random: () => number): readonly [Metric, ...Metric[]] {
  const near = (value: number, spread: number) => value + spread * (random() - 0.5);
  switch (kind % 4) {
    case 0:
      return [
        {
          name: 'temperature',
          unit: 'C',
          next: sine(random, { mean: near(21, 4), amplitude: 3, periodMs: DAY_MS, noise: 0.1 }),
        },
        {
          name: 'humidity',
          unit: '%',
          next: sine(random, { mean: near(45, 20), amplitude: 8, periodMs: DAY_MS, noise: 0.4 }),
        },
      ];
    case 1:
      return [
        {
          name: 'pressure',
          unit: 'kPa',
          next: walk(random, { start: near(400, 80), step: 0.6, min: 300, max: 500 }),
        },
        {
          name: 'vibration',
          unit: 'mm/s',
          next: sine(random, { mean: 2.2, amplitude: 0.3, periodMs: 60_000, noise: 0.15 }),
        },
      ];
    case 2:
      return [
        {
          name: 'power',
          unit: 'kW',
          next: sine(random, { mean: near(12, 8), amplitude: 3, periodMs: HOUR_MS, noise: 0.5 }),
        },
      ];
    default:
      return [{ name: 'setpoint', unit: 'C', next: constant(Math.round(near(60, 20))) }];
  }
}

/** Many virtual devices in one process, paced by one timer. */
export class Fleet {
  readonly stats = new FleetStats();
  readonly #options: FleetOptions;
  readonly #state: FleetState;
  readonly #devices: VirtualDevice[] = [];
  readonly #starts: NodeJS.Timeout[] = [];
  #recorded: VirtualDevice | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FleetOptions) {
    this.#options = options;
    if (options.bufferSize >= 60_000) {
      throw new WeirError('WEIR_CONFIG_INVALID', 'fatal', 'A device buffer holds at most 59,999 readings.');
    }
    this.#state = new FleetState(options.stateFile);
    const names = Array.from(
      { length: options.devices },
      (_, i) => `${options.prefix}-${String(i + 1).padStart(4, '0')}`,
    );
    const { recorded } = options;
    this.#state.register(recorded === undefined ? names : [...names, recorded.device]);
    for (const [i, device] of names.entries()) {
      const random = seeded(seedOf(options.seed, device));
      const site = `${options.site}-${(i % options.sites) + 1}`;
      this.#devices.push(this.#device(site, device, metricsOf(i, random), random));
    }
    if (recorded !== undefined) this.#recorded = this.#replay(recorded);
  }

  get figures(): FleetFigures {
    const all = this.#all();
    return this.stats.figures(
      all.length,
      all.filter((device) => device.connected).length,
      all.reduce((sum, device) => sum + device.buffered, 0),
    );
  }

  get devices(): readonly VirtualDevice[] {
    return this.#all();
  }

  start(): void {
    for (const [i, device] of this.#all().entries()) {
      this.#starts.push(setTimeout(() => device.start(), Math.floor(i / CONNECTS_PER_MS)));
    }
    const count = this.#devices.length;
    const begin = performance.now();
    let measured = 0;
    let replayed = 0;
    // Devices take turns around the period, so that the fleet is a steady stream and not a beat.
    this.#timer = setInterval(() => {
      const seconds = (performance.now() - begin) / 1000;
      const due = Math.floor(seconds * this.#options.rate * count);
      for (; measured < due; measured++) this.#devices[measured % count]?.measure();
      for (; replayed < Math.floor(seconds); replayed++) this.#recorded?.measure();
    }, 20);
  }

  /** Measures no more, waits up to `drainMs` for acknowledgements, disconnects and saves the numbers. */
  async stop(drainMs = 2_000): Promise<void> {
    clearInterval(this.#timer);
    for (const start of this.#starts) clearTimeout(start);
    const deadline = performance.now() + drainMs;
    while (this.figures.buffered > 0 && this.figures.connected > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await Promise.all(this.#all().map((device) => device.stop()));
    this.#state.close();
  }

  #all(): readonly VirtualDevice[] {
    return this.#recorded === undefined ? this.#devices : [...this.#devices, this.#recorded];
  }

  #device(
    site: string,
    device: string,
    metrics: DeviceOptions['metrics'],
    random: () => number,
  ): VirtualDevice {
    const { host, port, qos, bufferSize, window, secrets, onTrouble } = this.#options;
    return new VirtualDevice({
      site,
      device,
      metrics,
      host,
      port,
      qos,
      bufferSize,
      window,
      random,
      secret: secrets?.get(device),
      state: this.#state,
      stats: this.stats,
      onTrouble: (message) => onTrouble?.(device, message),
    });
  }

  /** One recorded step at each measurement, then from the beginning; the position outlives the process. */
  #replay(recorded: RecordedDevice): VirtualDevice {
    const { device, site, metric } = recorded;
    const recording = readRecording(recorded.file);
    const count = recording.values.length;
    let at = this.#state.position(device) ?? positionOf(recording, recorded.from);
    const next = (): number => {
      const value = recording.values[at % count] as number;
      at = (at + 1) % count;
      this.#state.setPosition(device, at);
      return value;
    };
    const random = seeded(seedOf(this.#options.seed, device));
    return this.#device(site, device, [{ name: metric, unit: undefined, next }], random);
  }
}
