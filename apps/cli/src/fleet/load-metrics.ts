import type { Second } from '@weir/load';
import { Metrics, serveAdmin } from '@weir/observe';
import { PORTS } from '@weir/topology';
import manifest from '../../../../package.json' with { type: 'json' };
import { effectiveConfig } from '../settings.ts';

/** Serves the figures of a run in progress, as every app serves its own. */
export async function serveLoad(
  scenario: string,
  data: string | undefined,
): Promise<{ set(second: Second): void; close(): void }> {
  const { ports } = effectiveConfig(data);
  let latest: Second | undefined;
  const metrics = new Metrics('fleet');
  metrics.gauge(
    'weir_fleet_readings',
    'Readings of this run by what became of them',
    ['outcome'],
    (gauge) => {
      if (latest === undefined) return;
      const { sent, acknowledged, resent, sentLate, unsent } = latest.counts;
      for (const [outcome, value] of Object.entries({ sent, acknowledged, resent, late: sentLate, unsent }))
        gauge.set({ outcome }, value);
    },
  );
  metrics.gauge('weir_fleet_connections', 'Connections of this run', ['state'], (gauge) => {
    if (latest === undefined) return;
    const { connected, reconnects, failedDials, refused } = latest.counts;
    for (const [state, value] of Object.entries({
      connected,
      lost: reconnects,
      failed: failedDials,
      refused,
    }))
      gauge.set({ state }, value);
  });
  metrics.gauge('weir_fleet_waiting', 'Devices whose publish is due and cannot leave', [], (gauge) =>
    gauge.set(latest?.counts.waiting ?? 0),
  );
  metrics.gauge(
    'weir_fleet_ack_seconds',
    'From meant to leave to acknowledged, of the last second',
    ['quantile'],
    (gauge) => {
      if (latest?.ackP50 != null) gauge.set({ quantile: '0.5' }, latest.ackP50 / 1_000);
      if (latest?.ackP99 != null) gauge.set({ quantile: '0.99' }, latest.ackP99 / 1_000);
    },
  );
  const checks = new Map([
    ['scenario', () => (latest === undefined ? `${scenario} has not begun` : (true as const))],
  ]);
  const server = await serveAdmin(
    { app: 'fleet', version: manifest.version, metrics, state: () => 'running', checks },
    PORTS.fleetHttp + ports.offset,
    ports.host,
  );
  return {
    set: (second) => {
      latest = second;
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
