import type { Server } from 'node:http';
import type { Fleet, FleetFigures } from '@weir/load';
import { Metrics, serveAdmin } from '@weir/observe';
import manifest from '../../../package.json' with { type: 'json' };

const READINGS = {
  sent: 'sent',
  resent: 'resent',
  acknowledged: 'acknowledged',
  dropped: 'dropped',
} as const satisfies Record<string, keyof FleetFigures>;

/** Health and metrics of a fleet, as every app has them. */
export function serveFleet(fleet: Fleet, port: number, host: string): Promise<Server> {
  const metrics = new Metrics('fleet');
  metrics.gauge(
    'weir_fleet_readings',
    'Readings of this run by what became of them',
    ['outcome'],
    (gauge) => {
      const { figures } = fleet;
      for (const [outcome, name] of Object.entries(READINGS)) gauge.set({ outcome }, figures[name]);
    },
  );
  metrics.gauge('weir_fleet_buffered', 'Readings that wait for their acknowledgement', [], (gauge) =>
    gauge.set(fleet.figures.buffered),
  );
  metrics.gauge('weir_fleet_devices', 'Devices by state', ['state'], (gauge) => {
    const { devices, connected } = fleet.figures;
    gauge.set({ state: 'connected' }, connected);
    gauge.set({ state: 'away' }, devices - connected);
  });
  metrics.gauge('weir_fleet_reconnects', 'Connections lost in this run', [], (gauge) =>
    gauge.set(fleet.figures.reconnects),
  );
  metrics.gauge('weir_fleet_refused', 'Connections that the edge refused in this run', [], (gauge) =>
    gauge.set(fleet.figures.refused),
  );
  metrics.gauge('weir_fleet_ack_seconds', 'From first send to acknowledgement', ['quantile'], (gauge) => {
    const { p50, p99, max } = fleet.figures.ackMs;
    gauge.set({ quantile: '0.5' }, p50 / 1000);
    gauge.set({ quantile: '0.99' }, p99 / 1000);
    gauge.set({ quantile: '1' }, max / 1000);
  });
  const checks = new Map([
    [
      'devices',
      () => {
        const { devices, connected } = fleet.figures;
        return connected === devices
          ? (true as const)
          : `${devices - connected} of ${devices} are not connected`;
      },
    ],
  ]);
  const state = () => 'running';
  return serveAdmin({ app: 'fleet', version: manifest.version, metrics, state, checks }, port, host);
}
