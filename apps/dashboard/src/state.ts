import { computed, signal } from '@preact/signals';
import type { Alert, Device, Status } from '@weir/api';
import { ApiError, api } from './api.ts';
import { poll } from './polling.ts';
import { page } from './route.ts';

/** Points of a sparkline: two minutes at one every two seconds. */
const HISTORY = 60;

export const status = signal<Status | null>(null);
export const history = signal<readonly Status['figures'][]>([]);
/** Why the last question to the gateway failed; null when it was answered. */
export const trouble = signal<string | null>(null);
/** Epoch milliseconds, moved on every second so that "since" stays true. */
export const now = signal(Date.now());

export const alerts = signal<readonly Alert[] | null>(null);
export const alertsTrouble = signal<string | null>(null);
export const firing = computed(() => (alerts.value ?? []).filter(({ state }) => state === 'firing'));

export const RANGES = [
  { id: '5m', label: '5 min', ms: 300_000 },
  { id: '15m', label: '15 min', ms: 900_000 },
  { id: '1h', label: '1 h', ms: 3_600_000 },
  { id: '6h', label: '6 h', ms: 21_600_000 },
  { id: '24h', label: '24 h', ms: 86_400_000 },
  { id: '7d', label: '7 d', ms: 604_800_000 },
  { id: '30d', label: '30 d', ms: 2_592_000_000 },
] as const;
export type RangeId = (typeof RANGES)[number]['id'];
export const LEVELS = ['1s', '10s', '1m', '5m', '15m', '1h'] as const;
export const LEVEL_MS: Readonly<Record<(typeof LEVELS)[number], number>> = {
  '1s': 1_000,
  '10s': 10_000,
  '1m': 60_000,
  '5m': 300_000,
  '15m': 900_000,
  '1h': 3_600_000,
};
/** More windows than this are not fetched for one picture. */
export const MOST_POINTS = 9_000;

export type Level = (typeof LEVELS)[number] | 'auto';
export const QUANTILES = ['p50', 'p90', 'p99'] as const;
export type Quantile = (typeof QUANTILES)[number];

/** What is being looked at; kept in the address, so that it can be sent to a colleague. */
export const device = signal<Pick<Device, 'id' | 'site'> | null>(null);
export const metric = signal<string | null>(null);
export const VIEWS = ['live', 'windows', 'anomaly'] as const;
export const view = signal<(typeof VIEWS)[number]>('live');
export const range = signal<RangeId>('15m');
export const level = signal<Level>('auto');
export const quantiles = signal<ReadonlySet<Quantile>>(new Set());

export function select(next: Pick<Device, 'id' | 'site'>, nextMetric: string | null = null): void {
  const same = device.value?.id === next.id && device.value.site === next.site;
  if (!same) device.value = { id: next.id, site: next.site };
  if (!same || nextMetric !== null) metric.value = nextMetric;
}

const oneOf = <T extends string>(value: string | null, allowed: readonly T[], otherwise: T): T =>
  allowed.find((one) => one === value) ?? otherwise;

export function readAddress(): void {
  const query = new URLSearchParams(location.search);
  const id = query.get('device');
  const site = query.get('site');
  if (id !== null && site !== null) device.value = { id, site };
  metric.value = query.get('metric');
  view.value = oneOf(query.get('view'), VIEWS, 'live');
  range.value = oneOf(
    query.get('range'),
    RANGES.map((one) => one.id),
    '15m',
  );
  level.value = oneOf<Level>(query.get('level'), ['auto', ...LEVELS], 'auto');
  const wanted = (query.get('show') ?? '').split(',');
  quantiles.value = new Set(QUANTILES.filter((one) => wanted.includes(one)));
}

/** Of the overview; the other pages keep their own. */
export function writeAddress(): void {
  if (page.value !== 'overview') return;
  const query = new URLSearchParams();
  if (device.value !== null) {
    query.set('site', device.value.site);
    query.set('device', device.value.id);
  }
  if (metric.value !== null) query.set('metric', metric.value);
  if (view.value !== 'live') query.set('view', view.value);
  if (range.value !== '15m') query.set('range', range.value);
  if (level.value !== 'auto') query.set('level', level.value);
  if (quantiles.value.size > 0) query.set('show', [...quantiles.value].join(','));
  const text = query.toString();
  window.history.replaceState(null, '', text === '' ? location.pathname : `?${text}`);
}

/** What went wrong, as a sentence. */
export function sentence(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  return error instanceof Error ? error.message : String(error);
}

/** Puts a changed alert in its place: newest change first. */
export function mergeAlert(alert: Alert): void {
  const others = (alerts.value ?? []).filter(({ id }) => id !== alert.id);
  alerts.value = [alert, ...others].slice(0, 200);
}

/** Begins to ask the gateway; returns a function that ends it. */
export function startPolling(): () => void {
  const stops = [
    poll(async (signal) => {
      try {
        const next = await api.status(signal);
        status.value = next;
        history.value = [...history.value, next.figures].slice(-HISTORY);
        trouble.value = null;
      } catch (error) {
        if (!signal.aborted) trouble.value = sentence(error);
        throw error;
      }
    }, 2_000),
    poll(async (signal) => {
      try {
        alerts.value = (await api.alerts({ limit: 100 }, signal)).alerts;
        alertsTrouble.value = null;
      } catch (error) {
        if (!signal.aborted) alertsTrouble.value = sentence(error);
        throw error;
      }
    }, 5_000),
  ];
  const tick = window.setInterval(() => {
    now.value = Date.now();
  }, 1_000);
  return () => {
    for (const stop of stops) stop();
    window.clearInterval(tick);
  };
}
