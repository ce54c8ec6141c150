import type { Metrics } from './metrics.ts';

/** 0 free, 1 throttled (the next hop is slower than this one), 2 blocked (nothing is taken). */
export type BackpressureState = 0 | 1 | 2;

/** What is kept of a bounded buffer. */
export interface BufferGauge {
  readonly used: () => number;
  readonly limit: number;
}

export interface HopOptions {
  /** One of the hops of `@weir/pressure`. */
  readonly hop: string;
  /** What happens when its buffer is full. */
  readonly policy: 'block' | 'drop-oldest' | 'drop-newest' | 'prioritize';
  readonly items?: BufferGauge;
  readonly bytes?: BufferGauge;
  readonly state: () => BackpressureState;
  /** Seconds for which the oldest of what is here has waited beyond this hop's own pace; 0 when nothing waits. */
  readonly delay: () => number;
}

/** What drains a hop does one of these; what it does besides is idling. */
const DOINGS = ['sink', 'work'] as const;
type Doing = (typeof DOINGS)[number];
/** The last wait tells how long the next one will be for so long. */
const RECENT_MS = 5_000;

/** What the drain of a hop spends its time on. Several things at a time count once, waiting for the far side first. */
export class HopTime {
  readonly seconds = { sink: 0, work: 0, idle: 0 };
  readonly #running: Record<Doing, number> = { sink: 0, work: 0 };
  readonly #now: () => number;
  readonly #sinks: Waiting;
  #since: number;
  #lastSink = { seconds: 0, endedAt: Number.NEGATIVE_INFINITY };

  /** @param now milliseconds of a clock that never goes back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#sinks = new Waiting(now);
    this.#since = now();
  }

  /** Seconds of the longest wait for the far side that is under way, or of the last one while that is recent. */
  get sinkSeconds(): number {
    const { seconds, endedAt } = this.#lastSink;
    return Math.max(this.#sinks.seconds, this.#now() - endedAt < RECENT_MS ? seconds : 0);
  }

  /** Runs `work`: `sink` is waiting for the far side, `work` is doing something. For a batch, never for a reading. */
  async during<T>(doing: Doing, work: () => Promise<T>): Promise<T> {
    this.settle();
    this.#running[doing]++;
    const began = this.#now();
    const ended = doing === 'sink' ? this.#sinks.begin() : null;
    try {
      return await work();
    } finally {
      this.settle();
      this.#running[doing]--;
      ended?.();
      if (ended !== null) this.#lastSink = { seconds: (this.#since - began) / 1_000, endedAt: this.#since };
    }
  }

  /** Books the time until now. */
  settle(): void {
    const now = this.#now();
    this.seconds[this.#doing] += (now - this.#since) / 1_000;
    this.#since = now;
  }
  get #doing(): Doing | 'idle' {
    return DOINGS.find((doing) => this.#running[doing] > 0) ?? 'idle';
  }
}

/** How long something has been waiting. */
export class Waiting {
  readonly #now: () => number;
  readonly #since = new Set<{ readonly at: number }>();

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }
  /** Until the returned function is called. */
  begin(): () => void {
    const one = { at: this.#now() };
    this.#since.add(one);
    return () => this.#since.delete(one);
  }
  get count(): number {
    return this.#since.size;
  }
  /** Seconds of the one that has waited longest; 0 when there is none. */
  get seconds(): number {
    const [oldest] = this.#since; // a set keeps the order of its insertions
    return oldest === undefined ? 0 : (this.#now() - oldest.at) / 1_000;
  }
}

/** Shows a hop on `/metrics`; everything is read when somebody asks. */
export function observeHop(metrics: Metrics, options: HopOptions, time?: HopTime): void {
  const { hop, policy, items, bytes, state, delay } = options;
  const gauge = (name: string, help: string, read: () => number): void => {
    metrics.gauge(name, help, ['hop'], (one) => one.set({ hop }, read()));
  };
  for (const [unit, buffer] of Object.entries({ items, bytes })) {
    if (buffer === undefined) continue;
    gauge(`weir_buffer_used_${unit}`, `What waits, in ${unit}`, buffer.used);
    gauge(`weir_buffer_limit_${unit}`, `What may wait, in ${unit}`, () => buffer.limit);
  }
  gauge('weir_backpressure_state', '0 free, 1 throttled, 2 blocked', state);
  gauge('weir_hop_delay_seconds', 'How long the oldest has waited beyond the pace of the hop', delay);
  metrics
    .gauge('weir_hop_policy', 'What happens when the buffer is full', ['hop', 'policy'])
    .set({ hop, policy }, 1);
  if (time === undefined) return;
  const told = { sink: 0, work: 0, idle: 0 };
  metrics.counter(
    'weir_hop_busy_seconds_total',
    'What the drain of a hop spent its time on: waiting for the far side, working, nothing',
    ['hop', 'what'],
    (busy) => {
      time.settle();
      for (const what of ['sink', 'work', 'idle'] as const) {
        busy.inc({ hop, what }, time.seconds[what] - told[what]);
        told[what] = time.seconds[what];
      }
    },
  );
}

export type CallState = 'ok' | 'failing' | 'open';
const CALL_STATES: Readonly<Record<CallState, number>> = { ok: 0, failing: 1, open: 2 };

export interface OutsideCall {
  /** The server that is called. */
  readonly to: string;
  /** When a call is given up, milliseconds. */
  readonly deadlineMs: number;
  /** Calls at a time: the bulkhead. */
  readonly parallel: number;
  /** `open`: no call is made for now. */
  readonly state: () => CallState;
}

/** Shows on `/metrics` how this app is protected from a server that does not answer. */
export function observeCall(metrics: Metrics, { to, deadlineMs, parallel, state }: OutsideCall): void {
  metrics
    .gauge('weir_call_deadline_seconds', 'When a call of a server is given up', ['to'])
    .set({ to }, deadlineMs / 1_000);
  metrics.gauge('weir_call_limit', 'Calls of a server at a time', ['to']).set({ to }, parallel);
  metrics.gauge(
    'weir_call_state',
    '0 ok, 1 the last call failed, 2 no call is made for now',
    ['to'],
    (gauge) => gauge.set({ to }, CALL_STATES[state()]),
  );
}
