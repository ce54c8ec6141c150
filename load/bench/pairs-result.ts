import type { PayloadName } from './payloads.ts';
import { type Machine, median, type PairBudget, round } from './report.ts';

export type SystemName = 'weir' | 'peer';

/** One run of one system. */
export interface PairRun {
  /** First send → the last one was seen in the database. */
  readonly readingsPerSecond: number;
  readonly acknowledgedPerSecond: number;
  readonly ackP50Ms: number;
  readonly ackP99Ms: number;
  /** µs of CPU per reading of what a user runs beside the servers. */
  readonly clientMicroseconds: number;
  /** µs of CPU per reading with the servers and the sender. */
  readonly allMicroseconds: number;
  /** Of the clients together. */
  readonly clientMiB: number;
  readonly lost: number;
  /** Rows of a reading that is there already; Weir counts each reading once. */
  readonly duplicates: number;
  /** µs per reading, by process with its children. */
  readonly cpuMicroseconds: Readonly<Record<string, number>>;
  /** Largest resident memory, MiB, by client. */
  readonly residentMiB: Readonly<Record<string, number>>;
  /** Of all the machine's CPU time, 0 to 1. */
  readonly cpuBusy: number;
  /** Share of the busy time of other programs, 0 to 1. */
  readonly cpuForeign: number;
}
export type Pair = Readonly<Record<SystemName, PairRun>>;

/** The figures that are compared. */
export const FIGURES = [
  { key: 'readingsPerSecond', title: 'readings/s end to end', digits: 0, better: 'more' },
  { key: 'clientMicroseconds', title: 'client CPU µs/reading', digits: 1, better: 'less' },
  { key: 'allMicroseconds', title: 'CPU µs/reading of everything', digits: 1, better: 'less' },
  { key: 'acknowledgedPerSecond', title: 'acknowledged/s', digits: 0, better: 'more' },
  { key: 'ackP50Ms', title: 'acknowledged, p50 ms', digits: 1, better: 'less' },
  { key: 'ackP99Ms', title: 'acknowledged, p99 ms', digits: 1, better: 'less' },
  { key: 'clientMiB', title: 'clients, MiB resident at most', digits: 0, better: 'less' },
] as const;
export type FigureKey = (typeof FIGURES)[number]['key'];

export interface Middle {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}
export type Summary = Readonly<Record<FigureKey, Readonly<Record<SystemName | 'ratio', Middle>>>>;

export interface Pairs {
  readonly date: string;
  readonly machine: Machine;
  readonly payload: PayloadName;
  readonly messages: number;
  readonly connections: number;
  readonly window: number;
  readonly devices: number;
  readonly pairs: readonly Pair[];
  readonly summary: Summary;
}

const middleOf = (values: readonly number[]): Middle => ({
  median: median(values),
  least: Math.min(...values),
  most: Math.max(...values),
});

/** Runs both in turns, Weir first, so that what the machine does meanwhile meets both alike. Pairs count from 1. */
export async function inPairs<Run>(
  count: number,
  run: (name: SystemName, pair: number) => Promise<Run>,
): Promise<Record<SystemName, Run>[]> {
  const pairs: Record<SystemName, Run>[] = [];
  for (let pair = 1; pair <= count; pair++)
    pairs.push({ weir: await run('weir', pair), peer: await run('peer', pair) });
  return pairs;
}

/** Medians and spreads of each system, and of the ratios Weir : peer within each pair, which share their minute. */
export function summarise(pairs: readonly Pair[]): Summary {
  const entries = FIGURES.map(({ key }) => [
    key,
    {
      weir: middleOf(pairs.map(({ weir }) => weir[key])),
      peer: middleOf(pairs.map(({ peer }) => peer[key])),
      ratio: middleOf(pairs.map(({ weir, peer }) => weir[key] / peer[key])),
    },
  ]);
  return Object.fromEntries(entries) as Summary;
}

/** Sentences about what makes the comparison worthless or is worse than the budget allows. */
export function worseThan(
  { pairs, summary }: Pick<Pairs, 'pairs' | 'summary'>,
  budget: PairBudget,
): string[] {
  const found: string[] = [];
  for (const [i, { weir, peer }] of pairs.entries()) {
    if (weir.lost !== 0) found.push(`Weir lost ${weir.lost} readings in pair ${i + 1}`);
    if (weir.duplicates !== 0) found.push(`Weir counted ${weir.duplicates} readings twice in pair ${i + 1}`);
    if (peer.lost !== 0) found.push(`the peer chain lost ${peer.lost} readings in pair ${i + 1}`);
  }
  const speed = summary.readingsPerSecond.ratio.median;
  if (speed < budget.readingsPerSecond)
    found.push(
      `Weir's readings/s are ${round(speed, 2)} times the peer's, at least ${budget.readingsPerSecond} expected`,
    );
  const cpu = summary.clientMicroseconds.ratio.median;
  if (cpu > budget.clientMicroseconds)
    found.push(
      `Weir's client CPU is ${round(cpu, 2)} times the peer's, at most ${budget.clientMicroseconds} expected`,
    );
  return found;
}
