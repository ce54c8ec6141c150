import type { CallView, HopName } from '@weir/api';
import { type MetricsPage, parseMetrics } from '@weir/observe';
import { type AppKind, DRAINS, type DrainSample, type Process, type Sample } from '@weir/pressure';

/** An app that is slow with its metrics is slow; without an answer by then it counts as silent. */
const DEADLINE_MS = 1_500;

const NAMES = new Set([
  'weir_loop_busy_seconds_total',
  'weir_hop_busy_seconds_total',
  'weir_hop_delay_seconds',
  'weir_hop_policy',
  'weir_backpressure_state',
  'weir_buffer_used_items',
  'weir_buffer_limit_items',
  'weir_buffer_used_bytes',
  'weir_buffer_limit_bytes',
  'weir_ledger_readings_total',
  'weir_edge_publishes_total',
  'weir_spool_behind_records',
  'weir_call_state',
  'weir_call_deadline_seconds',
  'weir_call_limit',
  'weir_notifier_state',
]);

/** What one app said at one moment; `page` is null when it said nothing. */
export interface Answer {
  readonly sample: Sample;
  readonly page: MetricsPage | null;
}

/** One app as it was seen lately. */
export interface Seen extends Process {
  readonly samples: Sample[];
  /** Of the newest sample, and of one about a window before it. */
  pages: { readonly at: number; readonly page: MetricsPage }[];
}

/** Asks an app for its metrics; never rejects. */
export async function askApp(app: AppKind, base: string): Promise<Answer> {
  try {
    const response = await fetch(`${base}/metrics`, { signal: AbortSignal.timeout(DEADLINE_MS) });
    const page = parseMetrics(await response.text(), NAMES);
    const busySeconds = page.sum('weir_loop_busy_seconds_total');
    const at = performance.now();
    if (!response.ok || busySeconds === null) return { sample: { at, answer: null }, page: null };
    const drains = new Map<HopName, DrainSample>();
    for (const { hop } of DRAINS.filter((drain) => drain.app === app)) {
      drains.set(hop, {
        sinkSeconds: page.sum('weir_hop_busy_seconds_total', { hop, what: 'sink' }) ?? 0,
        delaySeconds: page.sum('weir_hop_delay_seconds', { hop }) ?? 0,
        state: page.sum('weir_backpressure_state', { hop }) ?? 0,
      });
    }
    return { sample: { at, answer: { busySeconds, drains } }, page };
  } catch {
    // away, or too slow: whoever is asked next sees it as silence
    return { sample: { at: performance.now(), answer: null }, page: null };
  }
}

const CALL_STATES = ['ok', 'failing', 'open'] as const;

/** Deadlines, limits and breakers that an app shows. */
export function callsOf(app: AppKind, page: MetricsPage): readonly CallView[] {
  const state = (value: number): CallView['state'] => CALL_STATES[value] ?? 'ok';
  const servers = page.samples('weir_call_state').map(({ labels: { to = '' }, value }) => ({
    ...{ from: app, to, state: state(value) },
    deadlineSeconds: page.sum('weir_call_deadline_seconds', { to }),
    limit: page.sum('weir_call_limit', { to }),
  }));
  const notifiers = page.samples('weir_notifier_state').map(({ labels: { notifier = '' }, value }) => ({
    ...{ from: app, to: notifier, state: state(value) },
    deadlineSeconds: null,
    limit: null,
  }));
  return [...servers, ...notifiers];
}
