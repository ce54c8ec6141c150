import type { Pressure } from '@weir/api';
import {
  type AppKind,
  BottleneckTracker,
  suspectsOf,
  type Throttle,
  ThrottleController,
  type ThrottleSettings,
  WINDOW_MS,
} from '@weir/pressure';
import { type Answer, askApp, callsOf, type Seen } from './ask-app.ts';
import { describeHops, rateOf } from './describe-hops.ts';
import type { PressureEvents } from './events.ts';

/** Time between two questions. */
export const EVERY_MS = 2_000;
/** A spool should be empty after so long; what waits in it is demand as well, seconds. */
const SPOOL_SECONDS = 10;

export interface WatchOptions {
  readonly apps: readonly { readonly app: AppKind; readonly url: string }[];
  readonly events: PressureEvents;
  readonly throttle: ThrottleSettings & { readonly mode: Pressure['throttle']['mode'] };
  /** Tells the edges; may reject when RabbitMQ is away. */
  readonly tell: (ratePerSecond: number | null) => Promise<void>;
}

/** Asks every app, names the hop that holds the others back, and tells edges to send less while the windows are behind. */
export class PressureWatch {
  readonly #options: WatchOptions;
  readonly #seen: readonly Seen[];
  readonly #tracker = new BottleneckTracker();
  readonly #controller: ThrottleController;
  #throttle: Throttle = { ratePerSecond: null, why: 'nothing was measured yet' };
  #told: number | null = null;
  #measuredAt: number | null = null;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#seen = options.apps.map(({ app, url }) => ({ app, instance: url, samples: [], pages: [] }));
    this.#controller = new ThrottleController(options.throttle);
  }

  /** One round: ask, judge, tell. Never rejects. */
  async measure(): Promise<void> {
    const { events, throttle } = this.#options;
    await Promise.all(this.#seen.map(async (seen) => keep(seen, await askApp(seen.app, seen.instance))));
    const now = performance.now();
    this.#measuredAt = Date.now();
    const before = this.#tracker.current;
    const named = this.#tracker.next(
      now,
      this.#seen.flatMap((seen) => suspectsOf(seen, now)),
    );
    if (named?.hop !== before?.hop) events.bottleneck(named, before);

    this.#throttle = this.#controller.next(this.#demandAndDrain());
    const rate = throttle.mode === 'on' ? this.#throttle.ratePerSecond : null;
    events.throttle(this.#throttle, throttle.mode);
    // an end is told once; whoever misses it forgets the throttle by himself
    if (rate === null && this.#told === null) return;
    this.#told = rate;
    await this.#options.tell(rate).catch((error: unknown) => events.notTold(error));
  }

  /**
   * Readings that came to this outcome at a hop, over the processes of an app that answer, since each was started;
   * null: none answers, or none counts this.
   */
  readonly counted = (app: AppKind, hop: string, outcome: string): number | null => {
    const counts = this.#seen.flatMap((seen) =>
      seen.app === app && isAnswering(seen)
        ? (seen.pages.at(-1)?.page.sum('weir_ledger_readings_total', { hop, outcome }) ?? [])
        : [],
    );
    return counts.length === 0 ? null : counts.reduce((sum, count) => sum + count, 0);
  };

  #demandAndDrain() {
    const of = (app: AppKind): Seen[] => this.#seen.filter((seen) => seen.app === app && isAnswering(seen));
    const aggregators = of('aggregator');
    const delays = aggregators.map(
      ({ samples }) => samples.at(-1)?.answer?.drains.get('aggregator')?.delaySeconds ?? 0,
    );
    // What had to wait before it reached the log is not the lag of the windows: it may wait there because of the throttle.
    const before = of('edge').map(
      ({ samples }) => samples.at(-1)?.answer?.drains.get('forward-kafka')?.delaySeconds ?? 0,
    );
    const behind = Math.max(0, Math.max(...delays) - Math.max(0, ...before));
    const drains = aggregators.map((seen) => rateOf(seen, 'aggregator'));
    const known = drains.filter((drain) => drain !== null);
    return {
      timeLagMs: aggregators.length === 0 ? null : 1_000 * behind,
      drainPerSecond: known.length === 0 ? null : known.reduce((sum, drain) => sum + drain, 0),
      demands: of('edge').map((seen) => {
        const behind =
          seen.pages.at(-1)?.page.sum('weir_spool_behind_records', { destination: 'kafka' }) ?? 0;
        return (rateOf(seen, 'edge') ?? 0) + behind / SPOOL_SECONDS;
      }),
    };
  }

  /** null before the first measurement. */
  get current(): Pressure | null {
    if (this.#measuredAt === null) return null;
    const named = this.#tracker.current;
    const wall = Date.now() - performance.now();
    const answering = this.#seen.filter(isAnswering);
    return {
      at: new Date(this.#measuredAt).toISOString(),
      bottleneck: named === null ? null : { ...named, since: new Date(wall + named.since).toISOString() },
      throttle: { mode: this.#options.throttle.mode, ...this.#throttle },
      hops: describeHops(answering, named?.hop ?? null),
      calls: answering.flatMap(({ app, pages }) => {
        const page = pages.at(-1)?.page;
        return page === undefined ? [] : callsOf(app, page);
      }),
      unanswered: this.#seen
        .filter((seen) => !isAnswering(seen))
        .map(({ app, instance }) => `${app} at ${instance}`),
    };
  }
}

function isAnswering({ samples }: Seen): boolean {
  return samples.at(-1)?.answer != null;
}

/** Keeps as much as judging looks back at: a silent app keeps its last answer. */
function keep(seen: Seen, { sample, page }: Answer): void {
  const { samples } = seen;
  const last = samples.at(-1);
  if (sample.answer === null && last?.answer === null) samples[samples.length - 1] = sample;
  else samples.push(sample);
  while ((samples[1]?.at ?? sample.at) < sample.at - 2 * WINDOW_MS) samples.shift();
  if (page === null) return;
  seen.pages.push({ at: sample.at, page });
  while ((seen.pages[1]?.at ?? sample.at) <= sample.at - WINDOW_MS + EVERY_MS / 2) seen.pages.shift();
}
