import { LEVELS } from '@weir/topology';
import type { FleetReport } from '../report/report.ts';

/** A fleet to plan for. */
export interface TargetFleet {
  readonly devices: number;
  /** Publishes a second of one device. */
  readonly rate: number;
  readonly metrics: number;
}

/** What a fleet needs, from what a run at the limit used. */
export interface CapacityPlan {
  readonly readingsPerSecond: number;
  /** By Little's law, L = λ W: readings sent and not acknowledged, and those not yet in windows. */
  readonly inFlight: { readonly edge: number; readonly pipeline: number | null };
  readonly edges: number;
  readonly consumers: number;
  readonly partitions: number;
  /** Of all Weir's processes. */
  readonly cores: number;
  readonly bytesPerDay: { readonly archive: number | null; readonly windows: number | null };
}

/** Connections of one edge, under the open-file limit. */
const CONNECTIONS_PER_EDGE = 15_000;
/** Share of a core that one process may need on average: bursts and garbage need the rest. */
const HEADROOM = 0.7;
const PARTITIONS = 12;
const DAY_S = 86_400;

/**
 * Plans a fleet from a run that held its thresholds. A process counts as one core, of which 70 % are planned; what it
 * costs a reading is taken as it was in the run.
 */
export function planCapacity(report: FleetReport, target: TargetFleet): CapacityPlan {
  const readingsPerSecond = target.devices * target.rate;
  const values = report.sinks.windows?.found ?? report.counts.acknowledged;
  const perReading = (wanted: RegExp): number =>
    report.processes
      .filter(({ name }) => wanted.test(name))
      .reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0) / Math.max(1, report.counts.sent);
  const processes = (secondsEach: number): number =>
    Math.max(1, Math.ceil((readingsPerSecond * secondsEach) / HEADROOM));
  const consumers = processes(perReading(/^aggregator/));
  const seconds = (latency: FleetReport['ackMs']): number | null =>
    latency === null ? null : latency.mean / 1_000;
  const ack = seconds(report.ackMs) ?? 0;
  const through = seconds(report.freshMs.endToEnd);
  const { archive, windows } = report.sinks;
  const stored = (bytes: number | null | undefined, of: number, perSecond: number): number | null =>
    bytes === null || bytes === undefined || of === 0 ? null : (bytes / of) * perSecond * DAY_S;
  // A window holds all the values of its second, and each coarser level adds its share of rows.
  const coarser = LEVELS.slice(1).reduce((sum, level) => sum + 1 / level.seconds, 0);
  const windowsPerSecond = target.devices * target.metrics * (Math.min(1, target.rate) + coarser);
  return {
    readingsPerSecond,
    inFlight: {
      edge: Math.ceil(readingsPerSecond * ack),
      pipeline: through === null ? null : Math.ceil(readingsPerSecond * through),
    },
    edges: Math.max(Math.ceil(target.devices / CONNECTIONS_PER_EDGE), processes(perReading(/^edge/))),
    consumers,
    partitions: PARTITIONS * Math.max(1, Math.ceil(consumers / PARTITIONS)),
    cores: (readingsPerSecond * perReading(/./)) / HEADROOM,
    bytesPerDay: {
      archive: stored(archive?.bytes, archive?.found ?? 0, readingsPerSecond),
      windows: stored(windows?.bytes, values, windowsPerSecond),
    },
  };
}
