import type { RuleOf } from '@weir/config/alert-rules';
import { type Edge, EdgeClocks, type EdgeProgress, type HeartbeatQueue } from './liveness-edges.ts';
import type { RuleSet } from './rule-set.ts';
import type { Observation, RuleState, SeriesKey } from './types.ts';

/** When a reading arrived at its edge. */
export interface Arrivals {
  readonly site: string;
  readonly metric: string;
  readonly edge: string;
  readonly readings: readonly {
    readonly device: string;
    /** Epoch milliseconds; null: not known. */
    readonly at: number | null;
  }[];
}

export interface MissingOptions {
  /** Series beyond these are not watched. */
  readonly maxSeries: number;
  /** How long devices may take to come back to an edge that did not listen, milliseconds. */
  readonly reconnectMs: number;
  /** The edge that heard a device last, where that is known. */
  readonly edgeOf: (site: string, device: string) => string | undefined;
}

interface Expected {
  readonly series: SeriesKey;
  /** Null: not known any more. */
  edge: string | null;
  /** Arrival of its newest reading, epoch milliseconds by the clock of its edge. */
  at: number;
  /** The arrival that its stored state has. */
  saved: number;
  /** Time of the observation that it is missing; null: it is not. */
  told: number | null;
}

/** Of the time of a rule, this part may pass before a newer arrival is stored. */
const SAVED_EVERY = 1 / 8;

/**
 * Which series have had no reading for as long as a rule says, by the time of the edge that heard them: it stands
 * still while the edge, the broker or a queue does, so none of these makes a reading missing. A series is expected from
 * its first reading on. Pure: it has no clock but the times that it is given.
 */
export class MissingReadings {
  readonly #options: MissingOptions;
  readonly #edges = new EdgeClocks();
  #rules: RuleSet;
  /** By rule, site and device. */
  readonly #expected = new Map<string, Map<string, Map<string, Expected>>>();
  #size = 0;

  constructor(rules: RuleSet, options: MissingOptions) {
    this.#rules = rules;
    this.#options = options;
  }

  get size(): number {
    return this.#size;
  }

  /** Series of rules that are gone or mean something else are forgotten. */
  setRules(rules: RuleSet): void {
    this.#rules = rules;
    for (const [id, sites] of this.#expected) {
      const rule = rules.get(id);
      const same = rule?.kind === 'missing';
      for (const [site, devices] of sites) {
        for (const [device, { series }] of devices) {
          if (same && covered(rule, series)) continue;
          devices.delete(device);
          this.#size--;
        }
        if (devices.size === 0) sites.delete(site);
      }
    }
  }

  /** Goes on with what an earlier process has stored. It may have heard more than it stored, but no more than this. */
  restore(known: Iterable<{ readonly series: SeriesKey; readonly state: RuleState }>): void {
    for (const { series, state } of known) {
      const rule = this.#rules.get(series.rule);
      if (rule?.kind !== 'missing') continue;
      const told = state.phase === 'ok' ? null : state.lastTs;
      const at = told === null ? state.lastTs + rule.after * SAVED_EVERY : state.lastTs;
      this.#add({ series, edge: null, at, saved: state.lastTs, told });
    }
  }

  #add(expected: Expected): void {
    if (this.#size >= this.#options.maxSeries) return;
    const { rule, site, device } = expected.series;
    const sites = this.#expected.get(rule) ?? new Map<string, Map<string, Expected>>();
    const devices = sites.get(site) ?? new Map<string, Expected>();
    this.#expected.set(rule, sites.set(site, devices.set(device, expected)));
    this.#size++;
  }

  /** What readings change: series that are new, that are back, and now and then how far they are. */
  heard({ site, metric, edge, readings }: Arrivals): Observation[] {
    const found: Observation[] = [];
    for (const rule of this.#rules.expecting(site, metric)) {
      const devices = this.#expected.get(rule.id)?.get(site);
      for (const { device, at } of readings) {
        if (at === null || (rule.device !== '*' && rule.device !== device)) continue;
        const known = (devices ?? this.#expected.get(rule.id)?.get(site))?.get(device);
        if (known === undefined) {
          const series = { rule: rule.id, site, device, metric };
          this.#add({ series, edge, at, saved: at, told: null });
          found.push(present(series, at, rule));
          continue;
        }
        if (at <= known.at && known.told === null && known.edge === edge) continue;
        known.at = Math.max(known.at, at);
        known.edge = edge;
        if (known.told !== null) known.saved = Math.max(at, known.told + 1);
        else if (at > known.saved + rule.after * SAVED_EVERY) known.saved = at;
        else continue;
        known.told = null;
        found.push(present(known.series, known.saved, rule));
      }
    }
    return found;
  }

  /** An edge told how far it is, in one of the queues that readings come through. */
  progress(said: EdgeProgress, queue: HeartbeatQueue, now: number): void {
    const number = this.#edges.number(said.edge, now);
    if (number !== undefined) this.#edges.progress(this.#edges.all[number] as Edge, queue, said, now);
  }

  /** The time of the edge that is furthest; -Infinity before the first has told. */
  get newest(): number {
    return this.#edges.all.reduce(
      (newest, { upTo }) => (upTo > newest ? upTo : newest),
      Number.NEGATIVE_INFINITY,
    );
  }

  /** What has become missing since the last call. */
  judge(): Observation[] {
    const found: Observation[] = [];
    const clocks = new Map(
      this.#edges.all.filter(({ advanced }) => advanced).map((edge) => [edge.name, edge]),
    );
    if (clocks.size === 0) return found;
    for (const [id, sites] of this.#expected) {
      const rule = this.#rules.get(id);
      if (rule?.kind !== 'missing') continue;
      for (const devices of sites.values()) {
        for (const known of devices.values()) this.#judge(rule, known, clocks, found);
      }
    }
    for (const edge of clocks.values()) edge.advanced = false;
    return found;
  }

  #judge(
    rule: RuleOf<'missing'>,
    known: Expected,
    clocks: ReadonlyMap<string, Edge>,
    found: Observation[],
  ): void {
    if (known.told !== null) return;
    const { series } = known;
    known.edge ??= this.#options.edgeOf(series.site, series.device) ?? null;
    const edge = known.edge === null ? undefined : clocks.get(known.edge);
    if (edge === undefined) return;
    // It was not heard since its edge listens again: it may have to connect first.
    const from = known.at < edge.since ? edge.since + this.#options.reconnectMs : known.at;
    const silent = edge.upTo - from;
    if (silent < rule.after) return;
    known.told = Math.max(Math.round(edge.upTo), known.saved + 1);
    found.push({
      ...series,
      ts: known.told,
      met: true,
      cleared: false,
      value: Math.round(silent / 1_000),
      threshold: rule.after / 1_000,
    });
  }
}

const present = (series: SeriesKey, ts: number, rule: RuleOf<'missing'>): Observation => ({
  ...{ ...series, ts, met: false, cleared: true },
  ...{ value: 0, threshold: rule.after / 1_000 },
});

const covered = (rule: RuleOf<'missing'>, { site, device, metric }: SeriesKey): boolean =>
  rule.metric === metric &&
  (rule.site === '*' || rule.site === site) &&
  (rule.device === '*' || rule.device === device);
