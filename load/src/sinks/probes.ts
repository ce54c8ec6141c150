import type { LiveMessage } from '@weir/api';
import type { Runner } from '@weir/connect-timescale';
import { LEVELS, TABLES } from '@weir/topology';
import { Histogram } from '../measure/histogram.ts';
import { classesOf, planConnections, probeSite } from '../scenario/fleet-plan.ts';
import { PROBE_CLASS, PROBE_METRIC, type Scenario } from '../scenario/schema.ts';

const POLL_MS = 100;
const WINDOW_MS = 1_000;
const COOL_DOWN_MS = 2_000;
/** Expected readings that are older than this are looked for no more; they count with the time they were waited for. */
const GIVE_UP_MS = 120_000;

/** Milliseconds from when a probe's reading was meant to leave. */
export interface Freshness {
  /** Until its window could be read in TimescaleDB. */
  readonly endToEnd: Histogram;
  /** From the end of its window until then. */
  readonly window: Histogram;
  /** The same beyond the out-of-orderness that the windows wait for anyway. */
  readonly beyond: Histogram;
  /** Until it came over the WebSocket. */
  readonly websocket: Histogram;
}

interface Expected {
  /** When it is meant to leave and its stamp, epoch milliseconds. */
  readonly at: number;
  readonly windowStart: number;
}

/**
 * Looks for the readings of the probes where users would: their windows in the database, ten times a second, and the
 * gateway's WebSocket. It knows from the schedule when each was meant to leave.
 */
export class ProbeWatch {
  readonly freshness: Freshness = {
    endToEnd: new Histogram(),
    window: new Histogram(),
    beyond: new Histogram(),
    websocket: new Histogram(),
  };
  /** Readings that were not seen in the database, and on the WebSocket. */
  missing = { windows: 0, websocket: 0 };
  /** Why the WebSocket's figures are not whole; null when they are. */
  socketTrouble: string | null = null;
  readonly #database: Runner;
  readonly #outOfOrdernessMs: number;
  readonly #site: string;
  readonly #warmUp: number;
  readonly #duration: number;
  /** By device: expected readings in their order. */
  readonly #schedule = new Map<string, Expected[]>();
  /** Not yet seen in the database, by device and start of window. */
  readonly #waiting = new Map<string, Map<number, Expected>>();
  readonly #onSocket = new Map<string, Map<number, Expected>>();
  readonly #ids = new Map<number, string>();
  #startAt = 0;
  #until = Number.POSITIVE_INFINITY;
  #socket: WebSocket | undefined;
  #polling: Promise<void> | undefined;
  #over = false;

  constructor(options: {
    readonly scenario: Scenario;
    readonly site: string;
    readonly database: Runner;
    readonly outOfOrdernessMs: number;
  }) {
    const { scenario, site, database, outOfOrdernessMs } = options;
    this.#database = database;
    this.#outOfOrdernessMs = outOfOrdernessMs;
    this.#site = probeSite(site);
    this.#warmUp = scenario.warmUp;
    this.#duration = scenario.duration;
    const probes = classesOf(scenario).findIndex(({ name }) => name === PROBE_CLASS);
    const place = { site, targets: [{ host: '', port: 0 }], workers: 1 };
    for (const { classIndex, devices } of planConnections(
      { ...scenario, classes: scenario.classes.slice(0, 1) },
      place,
      0,
    )) {
      if (classIndex !== probes) continue;
      for (const { name, cursor } of devices) {
        const expected: Expected[] = [];
        while (cursor.advance()) expected.push({ at: cursor.ts, windowStart: 0 });
        this.#schedule.set(name, expected);
      }
    }
  }

  /** Opens the WebSocket; what the gateway says of it is found in `socketTrouble`. */
  async watchSocket(gatewayUrl: string): Promise<void> {
    const url = new URL(`/api/v1/live?site=${encodeURIComponent(this.#site)}`, gatewayUrl);
    url.protocol = 'ws:';
    const socket = new WebSocket(url);
    this.#socket = socket;
    const opened = Promise.withResolvers<void>();
    socket.addEventListener('open', () => opened.resolve());
    socket.addEventListener('error', () => {
      this.socketTrouble ??= `the gateway at ${gatewayUrl} does not answer on its WebSocket`;
      opened.resolve();
    });
    socket.addEventListener('close', () => {
      if (!this.#over) this.socketTrouble ??= 'the gateway closed the WebSocket';
      opened.resolve();
    });
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(String(data)) as LiveMessage;
      if (message.type !== 'readings') return;
      const now = Date.now();
      for (const { device, metric, ts } of message.readings) {
        if (metric !== PROBE_METRIC) continue;
        const expected = this.#onSocket.get(device)?.get(ts);
        if (expected === undefined) continue;
        this.#onSocket.get(device)?.delete(ts);
        if (this.#counts(expected)) this.freshness.websocket.record(now - expected.at);
      }
    });
    await opened.promise;
  }

  /** @param startAt epoch milliseconds of the schedule's zero */
  start(startAt: number): void {
    this.#startAt = startAt;
    for (const [device, expected] of this.#schedule) {
      const all = expected.map(({ at }): Expected => {
        const ts = startAt + at;
        return { at: ts, windowStart: Math.floor(ts / WINDOW_MS) * WINDOW_MS };
      });
      this.#waiting.set(device, new Map(all.map((one) => [one.windowStart, one])));
      this.#onSocket.set(device, new Map(all.map((one) => [one.at, one])));
    }
    this.#polling = this.#poll();
  }

  /** What is due later was not sent; epoch milliseconds. */
  endAt(until: number): void {
    this.#until = until;
    for (const waiting of [...this.#waiting.values(), ...this.#onSocket.values()])
      for (const [key, { at }] of waiting) if (at > until) waiting.delete(key);
  }

  /** Waits until all of it was seen, at most `deadlineMs`; what was not counts as missing. */
  async finish(deadlineMs: number): Promise<void> {
    const deadline = Date.now() + deadlineMs;
    const left = (all: ReadonlyMap<string, ReadonlyMap<number, Expected>>) =>
      [...all.values()].reduce((sum, { size }) => sum + size, 0);
    while (left(this.#waiting) > 0 && Date.now() < deadline) await wait(POLL_MS);
    this.#over = true;
    await this.#polling;
    this.#socket?.close();
    const now = Date.now();
    for (const waiting of this.#waiting.values())
      for (const expected of waiting.values()) {
        this.missing.windows++;
        this.#seen(expected, now);
      }
    this.missing.websocket = left(this.#onSocket);
  }

  /** The last windows of a run close only when their devices count as silent: that is no latency of the pipeline. */
  #counts({ at }: Expected): boolean {
    const end = Math.min(this.#until, this.#startAt + this.#duration);
    return at >= this.#startAt + this.#warmUp && at <= end - this.#outOfOrdernessMs - COOL_DOWN_MS;
  }

  #seen(expected: Expected, now: number): void {
    if (!this.#counts(expected)) return;
    const sinceWindow = now - expected.windowStart - WINDOW_MS;
    this.freshness.endToEnd.record(now - expected.at);
    this.freshness.window.record(sinceWindow);
    this.freshness.beyond.record(sinceWindow - this.#outOfOrdernessMs);
  }

  async #poll(): Promise<void> {
    while (!this.#over) {
      const began = performance.now();
      try {
        if (this.#ids.size < this.#schedule.size) await this.#findSeries();
        if (this.#ids.size > 0) await this.#look();
      } catch {
        // The database is away: that is what freshness is about, and the next look tells.
      }
      await wait(Math.max(10, POLL_MS - (performance.now() - began)));
    }
  }

  async #findSeries(): Promise<void> {
    const rows = await this.#database.query<{ id: number; device: string }>(
      'finding the series of the probes',
      `SELECT series_id AS id, device FROM ${TABLES.series} WHERE site = $1 AND metric = $2`,
      [this.#site, PROBE_METRIC],
    );
    for (const { id, device } of rows) this.#ids.set(id, device);
  }

  async #look(): Promise<void> {
    const oldest = Math.max(
      Date.now() - GIVE_UP_MS,
      Math.min(
        ...[...this.#waiting.values()].map((all) => all.keys().next().value ?? Number.POSITIVE_INFINITY),
      ),
    );
    if (oldest > Date.now()) return;
    const rows = await this.#database.query<{ id: number; start: number }>(
      'looking for the windows of the probes',
      `SELECT series_id AS id, extract(epoch FROM ts)::float8 * 1000 AS start FROM ${LEVELS[0].table}
        WHERE series_id = ANY($1) AND ts >= to_timestamp($2::float8 / 1000)`,
      [[...this.#ids.keys()], oldest],
    );
    const now = Date.now();
    for (const { id, start } of rows) {
      const waiting = this.#waiting.get(this.#ids.get(id) ?? '');
      const expected = waiting?.get(start);
      if (expected === undefined) continue;
      waiting?.delete(start);
      this.#seen(expected, now);
    }
  }
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
