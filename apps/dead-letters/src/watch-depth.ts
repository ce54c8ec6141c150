import { setTimeout as delay } from 'node:timers/promises';
import { type Depth, readDepth } from '@weir/dead-letters';
import type { AppContext } from '@weir/lifecycle';
import type { Parts } from './parts.ts';

const EVERY_MS = 10_000;

/** Counts the open letters for the metrics, until the app stops; a database that is away leaves the last counts. */
export function watchDepth({ metrics, stopping }: AppContext, { database }: Pick<Parts, 'database'>): void {
  let depths: readonly Depth[] = [];
  const labels = ['source', 'reason'] as const;
  metrics.gauge('weir_dlq_depth', 'Open dead letters', labels, (gauge) => {
    gauge.reset();
    for (const { source, reason, letters } of depths) gauge.set({ source, reason }, letters);
  });
  metrics.gauge('weir_dlq_oldest_age_seconds', 'Age of the oldest open dead letter', labels, (gauge) => {
    gauge.reset();
    for (const { source, reason, oldestSeconds } of depths) gauge.set({ source, reason }, oldestSeconds);
  });
  const watch = async (): Promise<void> => {
    while (!stopping.aborted) {
      depths = await readDepth(database).catch(() => depths);
      await delay(EVERY_MS, undefined, { signal: stopping }).catch(() => undefined);
    }
  };
  void watch();
}
