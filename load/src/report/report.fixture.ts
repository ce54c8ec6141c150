import { Histogram } from '../measure/histogram.ts';
import type { FleetReport } from './report.ts';

/** A report of a run that never was. */
export function madeReport(more: Partial<FleetReport> = {}, slower = 1): FleetReport {
  const latency = (ms: number) => {
    const histogram = new Histogram();
    for (let i = 1; i <= 1_000; i++) histogram.record((ms * slower * i) / 500);
    return histogram.latency;
  };
  const sink = { unit: 'values', found: 60_000, lost: 0, duplicates: 0, reordered: 0, foreign: 0 } as const;
  const counts = {
    ...{ scheduled: 60_000, sent: 60_000, acknowledged: 60_000, unacknowledged: 0, unsent: 0, sentLate: 12 },
    ...{ sentTwice: 0, resent: 0, malformed: 0, oversized: 0, dialed: 1_000, failedDials: 0, refused: 0 },
    reconnects: 0,
  };
  return {
    version: 1,
    scenario: 'made',
    about: 'A <made> report',
    seed: 1,
    startedAt: '2026-01-31T12:00:00.000Z',
    machine: { cpus: '2 × made', memoryGiB: 4, node: 'v24' },
    targets: ['127.0.0.1:1883'],
    site: 'fleet-1',
    workers: 1,
    durationS: 60,
    seconds: 60.2,
    interrupted: false,
    devices: 1_000,
    connections: 1_000,
    offeredPerSecond: 1_000,
    sentPerSecond: 1_000,
    acknowledgedPerSecond: 1_000,
    carriedPerSecond: 950,
    counts,
    lost: 0,
    sinks: {
      kafka: { ...sink, incomplete: null, bytes: null, seconds: 1 },
      archive: { ...sink, incomplete: null, bytes: 1_800_000, seconds: 1 },
      windows: { ...sink, reordered: null, incomplete: null, bytes: 9_000_000, seconds: 1 },
    },
    deadLetters: { late: 2 },
    ackMs: latency(10),
    connectMs: latency(5),
    slipMs: latency(1),
    freshMs: {
      endToEnd: latency(1_500),
      window: latency(900),
      beyond: latency(10),
      websocket: latency(150),
      normal: latency(80),
      critical: null,
    },
    probes: { missingWindows: 0, missingWebsocket: 0 },
    classes: [{ name: 'sensor', devices: 1_000, acknowledged: 60_000, ackMs: latency(10) }],
    phases: [{ name: 'storm', ackMs: latency(40), classes: [{ name: 'sensor', ackMs: latency(40) }] }],
    settle: { windows: 2.5, archive: null },
    senderCpuSeconds: 0.6,
    processes: ['edge', 'aggregator'].map((name) => ({
      name,
      cpuSeconds: 0.6,
      rssMiB: { first: 100, last: 110, max: 120 },
      growthMiBPerMinute: 0.5,
      course: Array.from({ length: 60 }, (_, at) => ({ at, cpu: 0.01, rssMiB: 100 + at / 6 })),
    })),
    course: Array.from({ length: 60 }, (_, at) => ({
      at,
      counts: { ...counts, connected: 1_000, waiting: 0 },
      offeredPerSecond: 1_000,
      sentPerSecond: 1_000 + at,
      acknowledgedPerSecond: 1_000,
      ackP50: 10,
      ackP99: at === 0 ? null : 30,
    })),
    thresholds: [],
    notes: [],
    ...more,
  };
}
