import type { ExpiredChunk } from '@weir/connect-timescale';
import { errorMessage } from '@weir/flow';
import { type Logger, type Metrics, rateLimited } from '@weir/observe';

export type MaintenanceEvents = ReturnType<typeof maintenanceEvents>;

/** What the maintenance job tells; each event owns its log line and its metrics. */
export function maintenanceEvents(metrics: Metrics, log: Logger) {
  const holder = metrics.gauge(
    'weir_maintenance_holder',
    'Whether this process holds the lock of the maintenance job',
  );
  const success = metrics.gauge(
    'weir_maintenance_last_success_timestamp_seconds',
    'When this process last finished a run of the maintenance job',
  );
  const chunks = metrics.counter('weir_retention_chunks_total', 'Chunks dropped after their retention', [
    'table',
  ]);
  const bytes = metrics.counter('weir_retention_bytes_total', 'Bytes of dropped chunks, indexes included', [
    'table',
  ]);
  const kept = metrics.counter(
    'weir_retention_kept_rows_total',
    'Rows of dropped chunks kept for silent devices',
    ['table'],
  );
  const failures = metrics.counter(
    'weir_maintenance_failures_total',
    'Runs of the maintenance job that failed',
  );
  const limit = rateLimited();
  holder.set(0);
  return {
    holding(token: bigint): void {
      holder.set(1);
      log.info({ token: String(token) }, 'this aggregator runs the maintenance job');
    },
    lost(): void {
      holder.set(0);
      log.warn('the session with the lock of the maintenance job is gone: another aggregator may run it now');
    },
    dropped(chunk: ExpiredChunk): void {
      const { table } = chunk;
      chunks.inc({ table });
      bytes.inc({ table }, chunk.bytes);
      kept.inc({ table }, chunk.kept);
      log.info(
        { table, from: chunk.from, to: chunk.to, bytes: chunk.bytes, kept: chunk.kept },
        'dropped a chunk of windows that is past its retention',
      );
    },
    succeeded: () => success.set(Date.now() / 1_000),
    failed(error: unknown): void {
      failures.inc();
      limit('failed', (suppressed) =>
        log.warn(
          { err: error, suppressed },
          `the maintenance job did not finish: ${errorMessage(error)}; windows stay longer until a later run does`,
        ),
      );
    },
  };
}
