import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { join } from 'node:path';
import type { PayloadName } from './payloads.ts';
import { ROOT } from './pipeline.ts';
import type { SenderResult } from './sender.ts';

/** What Telegraf and mosquitto carry end to end on the reference machine, doing less; see load/README.md. */
export const PEER_MESSAGES_PER_SECOND = 29_000;

export interface BenchResult {
  readonly date: string;
  readonly machine: {
    readonly cpus: string;
    readonly memoryGiB: number;
    readonly kernel: string;
    readonly node: string;
  };
  readonly payload: PayloadName;
  readonly payloadBytes: number;
  readonly messages: number;
  readonly values: number;
  readonly connections: number;
  readonly devices: number;
  readonly window: number;
  /** First send → last committed window. */
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
  readonly peerMessagesPerSecond?: number;
}

export function machine(): BenchResult['machine'] {
  const all = cpus();
  return {
    cpus: `${all.length} × ${all[0]?.model.trim() ?? 'unknown'}`,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}

/** Writes a result to load/results and returns its file. */
export function saveResult(result: { readonly date: string }, name: string): string {
  const folder = join(ROOT, 'load/results');
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${result.date.slice(0, 10)}-${name}.json`);
  writeFileSync(file, `${JSON.stringify(result, null, 2)}\n`);
  return file;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

export const round = (value: number, digits = 1): string =>
  value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });

export function renderResult(result: BenchResult): string {
  const { ackMs, freshness } = result;
  const peer = result.peerMessagesPerSecond;
  const versus =
    peer === undefined
      ? ''
      : `; peer chain ${round(peer, 0)}/s, × ${round(result.messagesPerSecond / peer, 2)}`;
  const lines = [
    `${result.payload}: ${round(result.messages, 0)} messages of ${round(result.payloadBytes, 0)} bytes, ${round(result.values, 0)} values, ${result.connections} connections, QoS 1`,
    `  end to end      ${round(result.messagesPerSecond, 0)} messages/s, ${round(result.valuesPerSecond, 0)} values/s (${round(result.seconds, 2)} s)${versus}`,
    `  acknowledged    ${round(result.acknowledgedPerSecond, 0)}/s; p50 ${round(ackMs.p50)} ms, p90 ${round(ackMs.p90)} ms, p99 ${round(ackMs.p99)} ms, max ${round(ackMs.max)} ms`,
    `  lost            ${result.lost}`,
    ...Object.entries(freshness).map(
      ([stage, { p50, p99 }]) =>
        `  ${`fresh: ${stage}`.padEnd(15)} p50 ${p50 === null ? '–' : `${round(p50, 2)} s`}, p99 ${p99 === null ? '–' : `${round(p99, 2)} s`}`,
    ),
    '  CPU µs/message  ' +
      Object.entries(result.cpuMicroseconds)
        .map(([name, us]) => `${name} ${round(us)}`)
        .join(', '),
    `  machine         ${round(result.cpuBusy * 100, 0)} % busy, of which ${round(result.cpuForeign * 100, 0)} % other programs`,
    '  bytes/message   ' +
      Object.entries(result.bytesPerMessage)
        .map(([hop, bytes]) => `${hop} ${bytes === null ? '–' : round(bytes, 0)}`)
        .join(', '),
  ];
  return lines.join('\n');
}

interface Budget {
  readonly messagesPerSecond: number;
  readonly ackP99Ms: number;
  readonly cpuMicroseconds: number;
}

/** Sentences about what is worse than load/budgets.json allows. */
export function overBudget(result: BenchResult): string[] {
  const budgets = JSON.parse(readFileSync(join(ROOT, 'load/budgets.json'), 'utf8')) as Record<string, Budget>;
  const budget = budgets[result.payload];
  if (budget === undefined) return [];
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
  return found;
}
