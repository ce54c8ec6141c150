import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { PayloadName } from './payloads.ts';
import { ROOT } from './pipeline.ts';
import type { SenderResult } from './sender.ts';

export interface Machine {
  readonly cpus: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
}

export interface BenchResult {
  readonly date: string;
  readonly machine: Machine;
  readonly payload: PayloadName;
  readonly payloadBytes: number;
  readonly messages: number;
  readonly values: number;
  readonly connections: number;
  readonly devices: number;
  readonly window: number;
  /** First send → the last committed window was seen. */
  readonly seconds: number;
  readonly messagesPerSecond: number;
  readonly valuesPerSecond: number;
  /** Until the last acknowledgement. */
  readonly acknowledgedPerSecond: number;
  readonly lost: number;
  readonly ackMs: SenderResult['ackMs'];
  /** From arrival at the edge; seconds. */
  readonly freshness: Readonly<Record<string, { readonly p50: number | null; readonly p99: number | null }>>;
  /** Per message, by hop. */
  readonly bytesPerMessage: Readonly<Record<string, number | null>>;
  /** µs of CPU per message, by process with its children. */
  readonly cpuMicroseconds: Readonly<Record<string, number>>;
  /** Of all the machine's CPU time between first send and last commit, 0 to 1. */
  readonly cpuBusy: number;
  /** Share of the busy time that is not in the table: other programs. */
  readonly cpuForeign: number;
  /** Largest resident memory of each app, MiB. */
  readonly clientMiB: Readonly<Record<string, number>>;
}

export function machine(): Machine {
  const all = cpus();
  return {
    cpus: `${all.length} × ${all[0]?.model.trim() ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}

const RESULTS = join(ROOT, 'load/results');

function save(name: string, text: string): string {
  mkdirSync(RESULTS, { recursive: true });
  const file = join(RESULTS, name);
  writeFileSync(file, text);
  return file;
}

/** Writes a result to load/results and returns its file. */
export const saveResult = (result: { readonly date: string }, name: string): string =>
  save(`${result.date.slice(0, 10)}-${name}.json`, `${JSON.stringify(result, null, 2)}\n`);

/** Writes a picture of a result beside it and returns its file. */
export const savePlot = (result: { readonly date: string }, name: string, svg: string): string =>
  save(`${result.date.slice(0, 10)}-${name}.svg`, svg);

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export const round = (value: number, digits = 1): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** `edge 12.3, aggregator 4.5` */
export const listOf = (figures: Readonly<Record<string, number>>, digits = 1): string =>
  Object.entries(figures)
    .map(([name, figure]) => `${name} ${round(figure, digits)}`)
    .join(', ');

export function renderResult(result: BenchResult): string {
  const { ackMs, freshness } = result;
  const lines = [
    `${result.payload}: ${round(result.messages, 0)} messages of ${round(result.payloadBytes, 0)} bytes, ${round(result.values, 0)} values, ${result.connections} connections, QoS 1`,
    `  end to end      ${round(result.messagesPerSecond, 0)} messages/s, ${round(result.valuesPerSecond, 0)} values/s (${round(result.seconds, 2)} s)`,
    `  acknowledged    ${round(result.acknowledgedPerSecond, 0)}/s; p50 ${round(ackMs.p50)} ms, p90 ${round(ackMs.p90)} ms, p99 ${round(ackMs.p99)} ms, max ${round(ackMs.max)} ms`,
    `  lost            ${result.lost}`,
    ...Object.entries(freshness).map(
      ([stage, { p50, p99 }]) =>
        `  ${`fresh: ${stage}`.padEnd(15)} p50 ${p50 === null ? '–' : `${round(p50, 2)} s`}, p99 ${p99 === null ? '–' : `${round(p99, 2)} s`}`,
    ),
    `  CPU µs/message  ${listOf(result.cpuMicroseconds)}`,
    `  MiB resident    ${listOf(result.clientMiB, 0)}`,
    `  machine         ${round(result.cpuBusy * 100, 0)} % busy, of which ${round(result.cpuForeign * 100, 0)} % other programs`,
    '  bytes/message   ' +
      Object.entries(result.bytesPerMessage)
        .map(([hop, bytes]) => `${hop} ${bytes === null ? '–' : round(bytes, 0)}`)
        .join(', '),
  ];
  return lines.join('\n');
}

/** What load/budgets.json allows: loose on purpose, so that a run fails that is broken, not one on a slow machine. */
interface Budgets {
  readonly payloads: Readonly<Record<PayloadName, PayloadBudget>>;
  readonly pairs: PairBudget;
}
interface PayloadBudget {
  /** At least. */
  readonly messagesPerSecond: number;
  /** At most, as all that follow. */
  readonly ackP99Ms: number;
  readonly cpuMicroseconds: number;
  /** Of each app. */
  readonly clientMiB: number;
}
/** Of Weir, relative to the peer chain. */
export interface PairBudget {
  /** At least. */
  readonly readingsPerSecond: number;
  /** At most. */
  readonly clientMicroseconds: number;
}

export const budgets = (): Budgets =>
  JSON.parse(readFileSync(join(ROOT, 'load/budgets.json'), 'utf8')) as Budgets;

/** Sentences about what is worse than `budget` allows. */
export function overBudget(result: BenchResult, budget: PayloadBudget): string[] {
  const cpu = Object.values(result.cpuMicroseconds).reduce((sum, us) => sum + us, 0);
  const found: string[] = [];
  if (result.lost !== 0) found.push(`${result.lost} acknowledged values are missing`);
  if (result.messagesPerSecond < budget.messagesPerSecond)
    found.push(
      `${round(result.messagesPerSecond, 0)} messages/s, at least ${round(budget.messagesPerSecond, 0)} expected`,
    );
  if (result.ackMs.p99 > budget.ackP99Ms)
    found.push(
      `99 % acknowledged within ${round(result.ackMs.p99)} ms, at most ${budget.ackP99Ms} ms expected`,
    );
  if (cpu > budget.cpuMicroseconds)
    found.push(`${round(cpu)} µs of CPU per message, at most ${budget.cpuMicroseconds} expected`);
  for (const [app, mib] of Object.entries(result.clientMiB)) {
    if (mib > budget.clientMiB)
      found.push(`${app} took ${round(mib, 0)} MiB of memory, at most ${budget.clientMiB} expected`);
  }
  return found;
}
