import { setTimeout as delay } from 'node:timers/promises';
import type { WindowList } from '@weir/api';
import { loadConfig } from '@weir/config';
import { PORTS } from '@weir/topology';
import type { Histogram } from 'hdr-histogram-js';
import { payloadOf } from './payloads.ts';
import type { Pipeline } from './pipeline.ts';
import { CpuMeter, microsecondsEach } from './proc.ts';
import { type Machine, machine, round, saveResult } from './report.ts';
import { Sender } from './sender-process.ts';
import { cpuLine, histogram, type Spread, spread, spreadLine } from './spread.ts';

export interface FreshnessOptions {
  readonly devices: number;
  /** Readings of each device a second. */
  readonly hertz: number;
  readonly connections: number;
  readonly window: number;
  /** Length of the measurement, after WARM_UP_S. */
  readonly seconds: number;
  readonly json: boolean;
  readonly save: boolean;
  readonly say: (text: string) => void;
}

interface FreshnessResult {
  readonly date: string;
  readonly machine: Machine;
  readonly devices: number;
  readonly hertz: number;
  readonly readingsPerSecond: number;
  readonly outOfOrdernessMs: number;
  /** What the 99th percentile of `readableMs` may be. */
  readonly limitMs: number;
  /** End of a 1 s window → an answer of the API has all of its readings. 0: before its end. */
  readonly readableMs: Spread;
  /** End of a 1 s window → an answer says that only late readings can change it. */
  readonly closedMs: Spread;
  readonly answerMs: Readonly<Record<'windows' | 'summary', Spread>>;
  readonly ackMs: { readonly p50: number; readonly p99: number };
  readonly cpuMicroseconds: Readonly<Record<string, number>>;
  readonly cpuForeign: number;
}

const WARM_UP_S = 15;
/** Devices whose windows are watched at a time. */
const WATCHED = 8;
const WINDOWS_EACH = 5;
const PAUSE_MS = 100;
/** A window that has not come so long after its start counts as that late. */
const GIVE_UP_MS = 30_000;
/** The sender goes on for so long, so that the last windows close. */
const COOL_DOWN_S = 15;
const SECOND = 1_000;
/** Beyond the end of the window and the out-of-orderness. */
const ALLOWED_MS = 2_000;
const METRIC = 'temperature';

/** Asks a gateway about devices and takes the time. */
class Watcher {
  readonly readable = histogram();
  readonly closed = histogram();
  readonly windows = histogram();
  readonly summary = histogram();
  readonly #base: string;
  readonly #expected: number;

  /** @param expected readings of a window that has all of them */
  constructor(base: string, expected: number) {
    this.#base = base;
    this.#expected = expected;
  }

  /** Watches devices one after the other until `until` (epoch milliseconds). */
  async watch(pick: () => string, until: number): Promise<void> {
    while (Date.now() < until) await this.#watchOne(pick());
  }

  async askSummaries(pick: () => string, until: number): Promise<void> {
    while (Date.now() < until) {
      await this.#ask(`${pick()}/summary`, this.summary);
      await delay(SECOND / 4);
    }
  }

  /** Windows that begin after the first question, to the last of them, however late: else the slow ones went uncounted. */
  async #watchOne(device: string): Promise<void> {
    const first = Math.ceil(Date.now() / SECOND) * SECOND + SECOND;
    const starts = Array.from({ length: WINDOWS_EACH }, (_, i) => first + i * SECOND);
    const readable = new Set(starts);
    const closed = new Set(starts);
    // The same question all the time, as a page asks it: the cache may answer.
    const question = `${device}/windows?metric=${METRIC}&level=1s&from=${first}&to=${first + starts.length * SECOND}`;
    const see = (waiting: Set<number>, start: number, now: number, into: Histogram): void => {
      if (waiting.delete(start)) into.recordValue(Math.max(0, now - start - SECOND));
    };
    const giveUp = (starts.at(-1) as number) + GIVE_UP_MS;
    while (closed.size > 0 && Date.now() < giveUp) {
      const { windows } = await this.#ask<WindowList>(question, this.windows);
      const now = Date.now();
      for (const { start, count, isClosed } of windows) {
        if (count >= this.#expected) see(readable, Date.parse(start), now, this.readable);
        if (isClosed) see(closed, Date.parse(start), now, this.closed);
      }
      await delay(PAUSE_MS);
    }
    for (const start of readable) this.readable.recordValue(Date.now() - start - SECOND);
    for (const start of closed) this.closed.recordValue(Date.now() - start - SECOND);
  }

  async #ask<T>(path: string, into: Histogram): Promise<T> {
    const began = performance.now();
    const response = await fetch(`${this.#base}/api/v1/devices/${path}`, {
      signal: AbortSignal.timeout(10_000),
    });
    const body = await response.json();
    if (!response.ok) throw new Error(`${path}: ${JSON.stringify(body)}`);
    into.recordValue(Math.round(performance.now() - began));
    return body as T;
  }
}

/** How soon windows can be read at a steady rate of readings. Exit code: 1 when not soon enough. */
export async function freshness(pipeline: Pipeline, options: FreshnessOptions): Promise<number> {
  const { devices, hertz, connections, window, seconds, say } = options;
  const { aggregator } = loadConfig({ env: pipeline.env });
  const rate = devices * hertz;
  const sender = new Sender(
    {
      port: PORTS.mqtt + pipeline.portOffset,
      payload: 'one-value',
      site: 'bench-fresh',
      connections,
      window,
      devices,
      baseTs: 0,
      hertz,
    },
    () => undefined,
  );
  try {
    await sender.connected();
    say(`Warm-up: ${WARM_UP_S} s at ${rate} readings/s ...`);
    const sending = sender.run(rate * (WARM_UP_S + seconds + COOL_DOWN_S));
    sending.catch(() => undefined);
    await delay(WARM_UP_S * SECOND);
    const meter = new CpuMeter(
      new Map([['sender', sender.process.pid ?? 0], ...pipeline.clients, ...pipeline.servers]),
    );
    say(`Watching windows for ${seconds} s ...`);
    const watcher = new Watcher(pipeline.url('gateway'), hertz);
    const pick = (): string => `device-${String(1 + Math.floor(Math.random() * devices)).padStart(5, '0')}`;
    const until = Date.now() + seconds * SECOND;
    await Promise.all([
      ...Array.from({ length: WATCHED }, () => watcher.watch(pick, until)),
      watcher.askSummaries(pick, until),
    ]);
    const cpu = meter.read();
    const sent = await sending;
    const result: FreshnessResult = {
      date: new Date().toISOString(),
      machine: machine(),
      devices,
      hertz,
      readingsPerSecond:
        (sent.messages * payloadOf('one-value').values * SECOND) / (sent.lastAckAt - sent.firstSendAt),
      outOfOrdernessMs: aggregator.outOfOrderness,
      limitMs: aggregator.outOfOrderness + ALLOWED_MS,
      readableMs: spread(watcher.readable),
      closedMs: spread(watcher.closed),
      answerMs: { windows: spread(watcher.windows), summary: spread(watcher.summary) },
      ackMs: { p50: sent.ackMs.p50, p99: sent.ackMs.p99 },
      cpuMicroseconds: microsecondsEach(cpu, rate * seconds),
      cpuForeign: cpu.foreign,
    };
    process.stdout.write(`${options.json ? JSON.stringify(result) : render(result)}\n`);
    if (options.save) say(`Written to ${saveResult(result, 'freshness')}.`);
    const wrong = complaints(result, rate);
    for (const sentence of wrong) say(`Not fresh: ${sentence}.`);
    return wrong.length === 0 ? 0 : 1;
  } finally {
    sender.end();
  }
}

function complaints({ readableMs, limitMs, readingsPerSecond }: FreshnessResult, rate: number): string[] {
  const found: string[] = [];
  if (readingsPerSecond < 0.98 * rate)
    found.push(`${round(readingsPerSecond, 0)} readings/s were acknowledged, ${round(rate, 0)} were due`);
  if (readableMs.samples < 100) found.push(`only ${readableMs.samples} windows were seen`);
  if (readableMs.p99 > limitMs)
    found.push(
      `99 % of the windows are readable ${readableMs.p99} ms after their end, at most ${limitMs} ms expected`,
    );
  return found;
}

function render(result: FreshnessResult): string {
  return [
    `freshness: ${round(result.devices, 0)} devices at ${result.hertz} Hz, ${round(result.readingsPerSecond, 0)} readings/s acknowledged`,
    `  readable        ${spreadLine(result.readableMs)} after the window's end; limit p99 ${result.limitMs} ms`,
    `  closed          ${spreadLine(result.closedMs)} after the window's end`,
    `  windows call    ${spreadLine(result.answerMs.windows)}`,
    `  summary call    ${spreadLine(result.answerMs.summary)}`,
    `  acknowledged    p50 ${round(result.ackMs.p50)} ms, p99 ${round(result.ackMs.p99)} ms`,
    `  CPU µs/reading  ${cpuLine(result.cpuMicroseconds, result.cpuForeign)}`,
  ].join('\n');
}
