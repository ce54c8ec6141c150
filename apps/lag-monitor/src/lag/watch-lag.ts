import { setTimeout as delay } from 'node:timers/promises';
import type { LagSystem, LagVerdict } from '@weir/api';
import { errorMessage, every, isTransient, WeirError } from '@weir/flow';
import type { Board, Standing } from './board.ts';
import type { LagEvents } from './events.ts';
import type { Round } from './measured.ts';

export interface WatchLagOptions {
  readonly measures: Readonly<Record<LagSystem, () => Promise<Round>>>;
  readonly board: Board;
  readonly events: LagEvents;
  readonly everyMs: number;
  readonly deadlineMs: number;
  readonly stopping: AbortSignal;
  /** Called with everything that was judged in a round. */
  readonly onJudged: (standings: readonly Standing[]) => void;
}

/** Measures both brokers again and again, each within its deadline, until the stop. A server that is away is no crash. */
export async function watchLag(options: WatchLagOptions): Promise<void> {
  const { measures, everyMs, stopping, onJudged } = options;
  const systems = Object.keys(measures) as LagSystem[];
  const steps = systems.map((system) => measureOne(system, options));
  await every(everyMs, stopping, async () => {
    const standings = await Promise.all(steps.map((step) => step()));
    onJudged(standings.flat());
  });
}

function measureOne(system: LagSystem, options: WatchLagOptions): () => Promise<readonly Standing[]> {
  const { measures, board, events, deadlineMs, stopping } = options;
  const verdicts = new Map<string, LagVerdict>();
  let running: Promise<Round> | null = null;

  const measure = async (): Promise<Round> => {
    try {
      return await measures[system]();
    } catch (error) {
      // A topic that was just deleted spoils what kafkajs knows of all of them; the second attempt knows better.
      if (!isTransient(error) || stopping.aborted) throw error;
      return measures[system]();
    }
  };

  return async () => {
    let standings: readonly Standing[];
    try {
      // One that is late goes on alone: a broker that hangs is asked once at a time.
      running ??= measure().finally(() => {
        running = null;
      });
      const round = await within(running, deadlineMs);
      standings = board.take(system, round);
      events.measured(system, round.tookMs);
      events.left(round.left);
    } catch (error) {
      if (stopping.aborted) return [];
      if (!(error instanceof WeirError)) throw error;
      const why = errorMessage(error);
      standings = board.miss(system, Date.now(), why);
      events.missing(system, why);
    }
    for (const one of standings) {
      const { name } = one.measured;
      const before = verdicts.get(name);
      verdicts.set(name, one.judged.verdict);
      if (before !== undefined && before !== one.judged.verdict) events.changed(one, before);
    }
    return standings;
  };
}

async function within<T>(work: Promise<T>, ms: number): Promise<T> {
  const late = new AbortController();
  work.catch(() => undefined); // nobody may be waiting for it any more
  try {
    return await Promise.race([
      work,
      delay(ms, undefined, { signal: late.signal }).then(() => {
        throw new WeirError('WEIR_TIMEOUT', 'transient', `no answer in ${ms / 1_000} s`);
      }),
    ]);
  } finally {
    late.abort();
  }
}
