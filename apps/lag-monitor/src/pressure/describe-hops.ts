import { HOPS, type HopName, type HopView } from '@weir/api';
import { DRAINS, sharesOf } from '@weir/pressure';
import type { Seen } from './ask-app.ts';

const STATES = ['free', 'throttled', 'blocked'] as const;

/** What passes out of each hop inside an app, by the hop that counts it. */
const COUNTED: Partial<Record<HopName, string>> = {
  'device-gate': 'edge',
  spool: 'edge',
  'forward-kafka': 'forward-kafka',
  'forward-rabbitmq': 'forward-rabbitmq',
  aggregator: 'aggregator',
  archiver: 'archiver',
  alerter: 'alerter',
};
/** What comes into each hop: what leaves the one before it. */
const BEFORE: Partial<Record<HopName, HopName>> = {
  spool: 'device-gate',
  'forward-kafka': 'spool',
  'forward-rabbitmq': 'spool',
  kafka: 'forward-kafka',
  rabbitmq: 'forward-rabbitmq',
  aggregator: 'forward-kafka',
  archiver: 'forward-kafka',
  alerter: 'forward-rabbitmq',
  timescale: 'aggregator',
  minio: 'archiver',
};

/** Readings a second that a hop of the ledger settled in the last seconds; null when that is not known. */
export function rateOf({ pages }: Seen, hop: string): number | null {
  return rate(pages, 'weir_ledger_readings_total', { hop });
}

function rate(pages: Seen['pages'], name: string, labels: Readonly<Record<string, string>>): number | null {
  const [first] = pages;
  const last = pages.at(-1);
  if (first === undefined || last === undefined || last.at <= first.at) return null;
  const before = first.page.sum(name, labels);
  const now = last.page.sum(name, labels);
  // a counter that went back began anew
  if (before === null || now === null || now < before) return null;
  return ((now - before) * 1_000) / (last.at - first.at);
}

const sum = (values: readonly (number | null)[]): number | null => {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : known.reduce((a, b) => a + b, 0);
};
const most = (values: readonly (number | null | undefined)[]): number | null => {
  const known = values.filter((value) => typeof value === 'number');
  return known.length === 0 ? null : Math.max(...known);
};

/** Every hop as the apps show it; of several processes the worst, and rates of all together. */
export function describeHops(answering: readonly Seen[], named: HopName | null): HopView[] {
  const shares = new Map(answering.map((seen) => [seen, sharesOf(seen.samples)]));
  const outOf = (hop: HopName): number | null => {
    const counted = COUNTED[hop];
    const app = DRAINS.find((drain) => drain.hop === hop)?.app;
    if (counted === undefined) return null;
    return sum(answering.filter((seen) => seen.app === app).map((seen) => rateOf(seen, counted)));
  };
  return HOPS.map((hop): HopView => {
    const drain = DRAINS.find((one) => one.hop === hop);
    const callers = DRAINS.filter((one) => one.sink === hop && one.hop !== hop);
    const apps = drain === undefined ? callers.map(({ app }) => app) : [drain.app];
    const seen = answering.filter(({ app }) => apps.includes(app));
    const of = (name: string) =>
      most(seen.map(({ pages }) => pages.at(-1)?.page.samples(name, { hop })[0]?.value));
    const buffer = (unit: 'items' | 'bytes'): HopView['items'] => {
      const used = of(`weir_buffer_used_${unit}`);
      const limit = of(`weir_buffer_limit_${unit}`);
      return used === null || limit === null ? null : { used, limit };
    };
    // a server is as those find it who wait for it
    const waits = drain === undefined ? callers.map((one) => one.hop) : [hop];
    const level =
      seen.length === 0
        ? null
        : drain === undefined
          ? hop === named
            ? 1
            : 0
          : of('weir_backpressure_state');
    const before = BEFORE[hop];
    return {
      hop,
      state: level === null ? 'unknown' : (STATES[level] ?? 'unknown'),
      policy: seen[0]?.pages.at(-1)?.page.samples('weir_hop_policy', { hop })[0]?.labels.policy ?? null,
      items: buffer('items'),
      bytes: buffer('bytes'),
      delaySeconds: drain === undefined ? null : of('weir_hop_delay_seconds'),
      waitingShare: most(seen.flatMap((one) => waits.map((wait) => shares.get(one)?.waiting.get(wait)))),
      busyShare: drain === undefined ? null : most(seen.map((one) => shares.get(one)?.busy)),
      inPerSecond:
        hop === 'device-gate'
          ? sum(seen.map(({ pages }) => rate(pages, 'weir_edge_publishes_total', {})))
          : before === undefined
            ? null
            : outOf(before),
      outPerSecond: outOf(hop),
    };
  });
}
