import type { ReplayPlan, ReplayTask } from '@weir/dead-letters';
import { errorMessage } from '@weir/flow';
import { type Logger, type Metrics, rateLimited } from '@weir/observe';

export type ReplayEvents = ReturnType<typeof replayEvents>;

/** What the replay worker tells; each event owns its log line and its metrics. */
export function replayEvents(metrics: Metrics, log: Logger) {
  const holder = metrics.gauge('weir_dlq_replay_holder', 'Whether this process plans and sends replays');
  const letters = metrics.counter(
    'weir_dlq_replayed_letters_total',
    'Letters of replays by what became of them',
    ['outcome'],
  );
  const pauses = metrics.counter('weir_dlq_replay_pauses_total', 'Replays that paused by themselves', [
    'cause',
  ]);
  const active = metrics.gauge('weir_dlq_replays_active', 'Replays that are being planned or sent now');
  const limit = rateLimited();
  holder.set(0);
  active.set(0);
  const about = ({ id, by }: ReplayTask) => ({ replay: id, by });
  return {
    holding(token: bigint): void {
      holder.set(1);
      log.info({ token: String(token) }, 'this process plans and sends replays');
    },
    lost(): void {
      holder.set(0);
      log.warn('the session with the lock of the replays is gone: another process may send them now');
    },
    active: (count: number) => active.set(count),
    planned(task: ReplayTask, { letters: all, send, seconds }: ReplayPlan): void {
      log.info({ ...about(task), letters: all, send, seconds: Math.round(seconds) }, 'a replay is planned');
    },
    moved(outcome: 'sent' | 'resent' | 'skipped' | 'parked' | 'failed', count: number): void {
      if (count > 0) letters.inc({ outcome }, count);
    },
    paused(task: ReplayTask, cause: 'lag' | 'returns', why: string): void {
      pauses.inc({ cause });
      log.warn({ ...about(task), cause }, `a replay has paused: ${why}`);
    },
    /** With lagMonitor.slowReplays: dry-run. */
    wouldPause(destination: string, why: string): void {
      limit(`would pause ${destination}`, (suppressed) =>
        log.info({ suppressed }, `a replay would pause for ${destination}: ${why}`),
      );
    },
    resumed(task: ReplayTask, why: string): void {
      log.info(about(task), `a replay goes on: ${why}`);
    },
    done: (task: ReplayTask) => log.info(about(task), 'a replay has ended'),
    policy(reason: string, why: string): void {
      log.info({ reason }, `a policy replays letters: ${why}`);
    },
    failed(task: ReplayTask, error: unknown): void {
      log.error({ ...about(task), err: error }, `a replay has failed: ${errorMessage(error)}`);
    },
    away(doing: string, error: unknown): void {
      limit(doing, (suppressed) =>
        log.warn({ err: error, suppressed }, `${doing}: ${errorMessage(error)}; trying again`),
      );
    },
  };
}
