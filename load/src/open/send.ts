import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { WeirError } from '@weir/flow';
import { Bits } from '../measure/bits.ts';
import { Histogram, type Packed } from '../measure/histogram.ts';
import { classesOf, connectionCount, deviceNames, type RunPlace } from '../scenario/fleet-plan.ts';
import type { Scenario } from '../scenario/schema.ts';
import {
  type Assignment,
  COUNTERS,
  type Counter,
  type Counts,
  type FromWorker,
  noCounts,
  type Tick,
  type ToWorker,
} from './messages.ts';

/** Below the limit of 20,000 open files of a process. */
export const CONNECTIONS_PER_WORKER = 15_000;
/** Time between the plan and its zero: every worker has begun by then. */
const LEAD_MS = 500;
const SECOND = 1_000;
const READY_MS = 120_000;

export interface SendOptions {
  readonly scenario: Scenario;
  readonly place: RunPlace;
  /** Device → secret. */
  readonly secrets: Readonly<Record<string, string>>;
  /** Called with the start of the schedule (epoch milliseconds) just before it. */
  readonly onStart: (startAt: number) => void;
  readonly onSecond: (second: Second) => void;
  readonly onTrouble: (message: string) => void;
  /** Aborted: what is due later is not sent. */
  readonly signal: AbortSignal;
}

/** One second of the run, as the live view and the charts have it. */
export interface Second {
  /** Seconds since the start. */
  readonly at: number;
  /** Since the start; `connected` and `waiting` are of now. */
  readonly counts: Readonly<Counts>;
  readonly sentPerSecond: number;
  readonly acknowledgedPerSecond: number;
  /** Of the acknowledgements of this second, milliseconds; null without any. */
  readonly ackP50: number | null;
  readonly ackP99: number | null;
}

export interface SentDevice {
  readonly className: string;
  readonly site: string;
  readonly name: string;
  /** Numbers of the readings that were put on the wire, and of those that were acknowledged. */
  readonly sent: Bits;
  readonly acknowledged: Bits;
}

export interface SentFleet {
  /** Epoch milliseconds. */
  readonly startAt: number;
  /** From the start to the last acknowledgement that was waited for, seconds. */
  readonly seconds: number;
  readonly interrupted: boolean;
  readonly counts: Readonly<Counts>;
  readonly acknowledgedByClass: ReadonlyMap<string, number>;
  /** By `class/phase`; the phase is '' outside of all of them. */
  readonly acks: ReadonlyMap<string, Histogram>;
  readonly connect: Histogram;
  readonly slip: Histogram;
  readonly course: readonly Second[];
  /** Of all senders, seconds. */
  readonly cpuSeconds: number;
  readonly devices: readonly SentDevice[];
}

/** How many worker processes a scenario needs. */
export const workersFor = (scenario: Scenario): number =>
  Math.max(1, Math.ceil(connectionCount(scenario) / CONNECTIONS_PER_WORKER));

/** Latencies and counts of all workers, second by second. */
class Collector {
  readonly acks = new Map<string, Histogram>();
  readonly connect = new Histogram();
  readonly slip = new Histogram();
  readonly course: Second[] = [];
  readonly ticks: (Tick | undefined)[];
  readonly #names: readonly string[];
  readonly #phases: readonly string[];
  #recent = new Histogram();
  #before: Counts = noCounts();
  #at = 0;

  constructor(scenario: Scenario, workers: number) {
    this.#names = classesOf(scenario).map(({ name }) => name);
    this.#phases = scenario.phases.map(({ name }) => name);
    this.ticks = Array.from({ length: workers });
  }

  get counts(): Counts {
    const sums = noCounts();
    for (const tick of this.ticks)
      for (const name of COUNTERS) sums[name] += tick?.counts[name as Counter] ?? 0;
    return sums;
  }

  take(worker: number, tick: Tick): void {
    this.ticks[worker] = tick;
    for (const { classIndex, phase, ack } of tick.parts) {
      const key = `${this.#names[classIndex]}/${phase < 0 ? '' : this.#phases[phase]}`;
      merge(this.acks, key, ack);
      this.#recent.add(ack);
    }
    this.connect.add(tick.connect);
    this.slip.add(tick.slip);
  }

  second(at: number): Second {
    const { counts } = this;
    const seconds = Math.max(0.001, at - this.#at);
    const latency = this.#recent.latency;
    const second: Second = {
      at,
      counts,
      sentPerSecond: (counts.sent - this.#before.sent) / seconds,
      acknowledgedPerSecond: (counts.acknowledged - this.#before.acknowledged) / seconds,
      ackP50: latency?.p50 ?? null,
      ackP99: latency?.p99 ?? null,
    };
    this.#at = at;
    this.#before = counts;
    this.#recent = new Histogram();
    this.course.push(second);
    return second;
  }
}

function merge(into: Map<string, Histogram>, key: string, packed: Packed): void {
  let histogram = into.get(key);
  if (histogram === undefined) {
    histogram = new Histogram();
    into.set(key, histogram);
  }
  histogram.add(packed);
}

const tellWorker = (child: ChildProcess, message: ToWorker): void => {
  if (child.connected) child.send(message);
};

/**
 * Runs the schedule of a scenario in worker processes and resolves when all of it was sent and acknowledged, given up,
 * or ended by the signal.
 * @throws WeirError WEIR_STATE when a worker ends by itself
 */
export async function sendFleet(options: SendOptions): Promise<SentFleet> {
  const { scenario, place, secrets, onStart, onSecond, onTrouble, signal } = options;
  const collector = new Collector(scenario, place.workers);
  const devices = deviceNames(scenario, place.site).map((one) => ({
    ...one,
    sent: new Bits(),
    acknowledged: new Bits(),
  }));
  const children: ChildProcess[] = [];
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => undefined);
  const stop = () => {
    for (const child of children) tellWorker(child, { kind: 'stop' });
  };
  let timer: NodeJS.Timeout | undefined;
  try {
    const ready: Promise<void>[] = [];
    const done: Promise<void>[] = [];
    for (let worker = 0; worker < place.workers; worker++) {
      const child = fork(join(import.meta.dirname, 'worker.ts'), {
        serialization: 'advanced',
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      children.push(child);
      const isReady = Promise.withResolvers<void>();
      const isDone = Promise.withResolvers<void>();
      ready.push(isReady.promise);
      done.push(isDone.promise);
      let over = false;
      child.on('message', (message: FromWorker) => {
        if (message.kind === 'ready') isReady.resolve();
        else if (message.kind === 'tick') collector.take(worker, message);
        else if (message.kind === 'trouble') onTrouble(message.message);
        else if (message.kind === 'done') {
          over = true;
          isDone.resolve();
        } else
          for (const { id, sent, acknowledged } of message.devices) {
            const device = devices[id] as (typeof devices)[number];
            device.sent = new Bits(sent);
            device.acknowledged = new Bits(acknowledged);
          }
      });
      child.on('error', (error) => failed.reject(error));
      child.on('exit', (code, how) => {
        if (over) return;
        const text = `Sender ${worker + 1} ended by itself (${how ?? `exit code ${code}`}).`;
        failed.reject(new WeirError('WEIR_STATE', 'fatal', text));
      });
      const assignment: Assignment = { ...place, scenario, worker, secrets };
      tellWorker(child, { kind: 'plan', assignment });
    }
    await within(READY_MS, Promise.race([Promise.all(ready), failed.promise]));
    const startAt = Date.now() + LEAD_MS;
    onStart(startAt);
    for (const child of children) tellWorker(child, { kind: 'begin', startAt });
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    const now = () => (Date.now() - startAt) / SECOND;
    timer = setInterval(() => {
      if (now() > 0) onSecond(collector.second(now()));
    }, SECOND);
    await Promise.race([Promise.all(done), failed.promise]);
    clearInterval(timer);
    const seconds = now();
    onSecond(collector.second(seconds));
    const names = classesOf(scenario).map(({ name }) => name);
    const sumOf = (i: number) => collector.ticks.reduce((sum, tick) => sum + (tick?.acknowledged[i] ?? 0), 0);
    return {
      startAt,
      seconds,
      interrupted: signal.aborted,
      counts: collector.counts,
      acknowledgedByClass: new Map(names.map((name, i) => [name, sumOf(i)])),
      acks: collector.acks,
      connect: collector.connect,
      slip: collector.slip,
      course: collector.course,
      cpuSeconds: collector.ticks.reduce((sum, tick) => sum + (tick?.cpuSeconds ?? 0), 0),
      devices,
    };
  } finally {
    clearInterval(timer);
    signal.removeEventListener('abort', stop);
    await Promise.all(children.map(end));
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, 'exit');
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill('SIGKILL'), 3_000);
  await exited;
  clearTimeout(timer);
}

async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () =>
      late.reject(new WeirError('WEIR_TIMEOUT', 'fatal', `The senders were not ready in ${ms / 1000} s.`)),
    ms,
  );
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
