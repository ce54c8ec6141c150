import { errorMessage } from '@weir/flow';
import { type Logger, type Metrics, rateLimited } from '@weir/observe';

export type SweepEvents = ReturnType<typeof sweepEvents>;

/** What the sweep tells. */
export function sweepEvents(log: Logger, metrics: Metrics) {
  const limit = rateLimited();
  const cleared = metrics.counter('weir_dlq_bytes_removed_total', 'Dead letters that lost their bytes', [
    'why',
  ]);
  const rows = metrics.counter('weir_dlq_rows_expired_total', 'Rows of dead letters removed by age');
  const orphans = metrics.counter('weir_dlq_orphans_total', 'Packs that no dead letter named, removed');
  for (const why of ['purged', 'expired']) cleared.inc({ why }, 0);

  return {
    cleared(why: 'purged' | 'expired', letters: number): void {
      cleared.inc({ why }, letters);
      if (letters > 0) log.info({ letters, why }, 'the bytes of dead letters are removed');
    },
    rowsExpired(letters: number): void {
      rows.inc(letters);
      if (letters > 0) log.info({ letters }, 'dead letters older than retention.deadLetterIndex are removed');
    },
    orphansRemoved(packs: number): void {
      orphans.inc(packs);
      if (packs > 0) log.info({ packs }, 'packs that no dead letter names are removed');
    },
    failed(error: unknown): void {
      limit('sweep', (suppressed) =>
        log.warn({ suppressed }, `removing what is purged or expired: ${errorMessage(error)}; trying again`),
      );
    },
  };
}
