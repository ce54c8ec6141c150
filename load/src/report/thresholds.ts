import { nearest } from '@weir/config';
import { WeirError } from '@weir/flow';
import type { Latency } from '../measure/histogram.ts';
import type { FleetReport, Verdict } from './report.ts';

/** A figure of a report under the name that thresholds use. Latencies are in milliseconds. */
export type Figures = ReadonlyMap<string, number>;

const COMPARE = {
  '<=': (a: number, b: number) => a <= b,
  '>=': (a: number, b: number) => a >= b,
  '==': (a: number, b: number) => a === b,
  '!=': (a: number, b: number) => a !== b,
  '<': (a: number, b: number) => a < b,
  '>': (a: number, b: number) => a > b,
} as const;
type Operator = keyof typeof COMPARE;
const UNITS: Readonly<Record<string, number>> = { '': 1, ms: 1, s: 1_000, m: 60_000 };
const PATTERN = /^\s*([a-z][\w.-]*)\s*(<=|>=|==|!=|<|>)\s*(-?\d+(?:\.\d+)?)\s*(ms|s|m|)\s*$/i;

export interface Threshold {
  readonly text: string;
  readonly figure: string;
  readonly operator: Operator;
  readonly value: number;
}

/** @throws WeirError WEIR_CONFIG_INVALID when it is no threshold */
export function parseThreshold(text: string): Threshold {
  const match = PATTERN.exec(text);
  if (match === null)
    throw new WeirError(
      'WEIR_CONFIG_INVALID',
      'fatal',
      `"${text}" is no threshold. One reads figure, comparison, value: 'ack.p99 < 100ms', 'lost == 0'.`,
    );
  const [, figure = '', operator = '<', value = '', unit = ''] = match;
  return {
    text: text.trim(),
    figure,
    operator: operator as Operator,
    value: Number(value) * (UNITS[unit.toLowerCase()] ?? 1),
  };
}

function latency(into: Map<string, number>, name: string, of: Latency | null): void {
  if (of === null) return;
  for (const [key, value] of Object.entries(of)) into.set(`${name}.${key}`, value);
}

type WithoutVerdicts = Omit<FleetReport, 'thresholds'>;

/** Every figure of a report that a threshold may name. */
export function figuresOf(report: WithoutVerdicts): Figures {
  const figures = new Map<string, number>(Object.entries(report.counts));
  const put = (name: string, value: number | null): void => {
    if (value !== null && Number.isFinite(value)) figures.set(name, value);
  };
  put('lost', report.lost);
  put('offered', report.offeredPerSecond);
  put('rate', report.sentPerSecond);
  put('goodput', report.acknowledgedPerSecond);
  put('carried', report.carriedPerSecond);
  put('settle.windows', report.settle.windows === null ? null : report.settle.windows * 1_000);
  put('settle.archive', report.settle.archive === null ? null : report.settle.archive * 1_000);
  latency(figures, 'ack', report.ackMs);
  latency(figures, 'connect', report.connectMs);
  latency(figures, 'slip', report.slipMs);
  const { endToEnd, window, beyond, websocket, normal, critical } = report.freshMs;
  latency(figures, 'e2e', endToEnd);
  latency(figures, 'window', window);
  latency(figures, 'beyond', beyond);
  latency(figures, 'websocket', websocket);
  latency(figures, 'rabbitmq', normal);
  latency(figures, 'critical', critical);
  put('probes.missing', report.probes.missingWindows);
  for (const { name, acknowledged, ackMs } of report.classes) {
    put(`${name}.acknowledged`, acknowledged);
    latency(figures, `${name}.ack`, ackMs);
  }
  for (const phase of report.phases) {
    latency(figures, `${phase.name}.ack`, phase.ackMs);
    for (const { name, ackMs } of phase.classes) latency(figures, `${phase.name}.${name}.ack`, ackMs);
  }
  for (const [sink, found] of Object.entries(report.sinks))
    for (const key of ['found', 'lost', 'duplicates', 'reordered', 'foreign'] as const)
      put(`${sink}.${key}`, found[key]);
  let rss = 0;
  for (const { name, rssMiB, growthMiBPerMinute } of report.processes) {
    put(`rss.${name}`, rssMiB.max);
    put(`growth.${name}`, growthMiBPerMinute);
    rss = Math.max(rss, rssMiB.max);
  }
  if (report.processes.length > 0) put('rss', rss);
  return figures;
}

/** Judges a report. A figure that the run does not have fails its threshold. */
export function judge(report: WithoutVerdicts, thresholds: readonly Threshold[]): Verdict[] {
  const figures = figuresOf(report);
  return thresholds.map(({ text, figure, operator, value }): Verdict => {
    const actual = figures.get(figure);
    if (actual === undefined) {
      const close = nearest(figure, [...figures.keys()]);
      const hint = close === undefined ? '' : ` Did you mean ${close}?`;
      const sentence = `${text}: this run has no figure "${figure}".${hint}`;
      return { text, passed: false, actual: null, sentence };
    }
    const passed = COMPARE[operator](actual, value);
    const shown = Number.isInteger(actual) ? actual : Number(actual.toPrecision(4));
    return {
      text,
      passed,
      actual,
      sentence: passed ? `${text}: holds, it is ${shown}.` : `${text}: does not hold, it is ${shown}.`,
    };
  });
}
