import type { HopName, Pressure } from '@weir/api';
import type { FleetReport } from '../report/report.ts';

const POLL_MS = 1_000;
const DEADLINE_MS = 2_000;

/** Asks `GET /api/v1/pressure` once a second what holds the pipeline back. */
export class PressureWatch {
  readonly #url: string;
  readonly #named = new Map<HopName, { count: number; why: string }>();
  #answers = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(gatewayUrl: string) {
    this.#url = `${gatewayUrl}/api/v1/pressure`;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#ask().catch(() => undefined); // Without an answer the CPU tells.
    }, POLL_MS);
  }
  stop(): void {
    clearInterval(this.#timer);
  }

  /** The hop that was named most often, in a sentence; null when none was. */
  get bottleneck(): string | null {
    const [most] = [...this.#named].sort(([, a], [, b]) => b.count - a.count);
    if (most === undefined) return null;
    const [hop, { count, why }] = most;
    return `${hop}, named in ${count} of ${this.#answers} answers of the lag monitor: ${why}`;
  }

  async #ask(): Promise<void> {
    const response = await fetch(this.#url, { signal: AbortSignal.timeout(DEADLINE_MS) });
    if (!response.ok) return;
    const { bottleneck } = (await response.json()) as Pressure;
    this.#answers++;
    if (bottleneck === null) return;
    const known = this.#named.get(bottleneck.hop);
    this.#named.set(bottleneck.hop, { count: (known?.count ?? 0) + 1, why: bottleneck.why });
  }
}

/** What limits a run that did not hold its thresholds, when nobody named a hop: CPU, then lag. */
export function limitByFigures(report: FleetReport): string {
  const seconds = Math.max(1, report.seconds);
  const busiest = report.processes.toSorted((a, b) => b.cpuSeconds - a.cpuSeconds)[0];
  const sender = report.senderCpuSeconds / seconds / report.workers;
  const share = busiest === undefined ? 0 : busiest.cpuSeconds / seconds;
  const percent = (part: number) => `${(part * 100).toFixed(0)} %`;
  if (sender > 0.85) return `the senders: each is busy ${percent(sender)} of the time; use more --workers`;
  if (busiest !== undefined && share > 0.85)
    return `${busiest.name}: its process is busy ${percent(share)} of the time`;
  const own = report.processes.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, report.senderCpuSeconds);
  const cores = Number.parseInt(report.machine.cpus, 10);
  if (report.settle.windows !== null && report.settle.windows > 10)
    return `the windows: they were complete ${report.settle.windows.toFixed(0)} s after the end`;
  const most = busiest === undefined ? '' : `, most of it in ${busiest.name} (${percent(share)})`;
  return `not one process: Weir and senders use ${(own / seconds).toFixed(1)} of ${cores} cores${most}, servers and other programs the rest`;
}
