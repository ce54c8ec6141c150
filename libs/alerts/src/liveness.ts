import type { RuleOf } from '@weir/config/alert-rules';
import { DeviceColumns, type KeptDevice } from './liveness-devices.ts';
import { type Edge, EdgeClocks, type EdgeProgress, type HeartbeatQueue } from './liveness-edges.ts';
import { DEFAULT_THRESHOLD, deviationsFor, phi, silenceFor } from './phi.ts';
import { covers } from './rule-set.ts';
import type { Observation, SeriesKey } from './types.ts';

export interface LivenessOptions {
  /** Devices beyond are not watched, and counted. */
  readonly maxDevices: number;
  /** How long devices may take to come back to an edge that did not listen. */
  readonly reconnectMs: number;
  /** What was silent for so long is forgotten, and its alerts end. */
  readonly forgetMs: number;
}

export type LivenessState =
  /** Fewer than four intervals are known. */
  | 'learning'
  | 'online'
  /** φ is at or above 8, or an offline rule has told. */
  | 'suspect'
  /** Its edge does not tell how far it is. */
  | 'unknown';

/** What is known of a device; times in epoch milliseconds by the clock of its edge. */
export interface DeviceLiveness {
  readonly site: string;
  readonly device: string;
  readonly edge: string;
  readonly state: LivenessState;
  /** Suspicion at `judgedAt`; null while learning or unknown. */
  readonly phi: number | null;
  /** Its own period and deviation, milliseconds; null while learning. */
  readonly periodMs: number | null;
  readonly deviationMs: number | null;
  /** Intervals that these come from. */
  readonly intervals: number;
  readonly lastHeard: number;
  /** Up to when its edge has told what it heard; null: not yet. */
  readonly judgedAt: number | null;
}

/** A rule with the devices that it has told of: slot → time of the observation. */
interface Watch {
  readonly rule: RuleOf<'offline'>;
  readonly deviations: number;
  readonly told: Map<number, number>;
}
interface EdgeWatch {
  readonly rule: RuleOf<'edge-silent'>;
  readonly told: Map<string, number>;
}

/** Of another edge, a heartbeat that is older than the newest by more than this was delayed, and says nothing. */
const CLOCKS_DIFFER_MS = 10_000;
/** Site of alerts about an edge. */
const NO_SITE = '-';
const WATCHED = deviationsFor(DEFAULT_THRESHOLD);

/**
 * Which devices have fallen silent, by their own rhythm and by the time of the edge that heard them. An edge's time
 * stands still while the edge, the broker or a queue does, so none of these makes a device silent. Pure: it has no
 * clock but the times that it is given.
 */
export class Liveness {
  readonly devices: DeviceColumns;
  readonly #edges = new EdgeClocks();
  readonly #options: LivenessOptions;
  #watches: Watch[] = [];
  #edgeWatches: EdgeWatch[] = [];
  /** Suspects that were heard again. */
  #returned: number[] = [];
  #anyAdvanced = false;
  #forgotten: { readonly site: string; readonly device: string }[] = [];

  constructor(options: LivenessOptions) {
    this.#options = options;
    this.devices = new DeviceColumns(options.maxDevices);
  }

  /** Replaces the rules; one that keeps its id keeps the devices it has told of. */
  setRules(offline: readonly RuleOf<'offline'>[], edgeSilent: readonly RuleOf<'edge-silent'>[]): void {
    const told = new Map(this.#watches.map((watch) => [watch.rule.id, watch.told]));
    this.#watches = offline.map((rule) => ({
      rule,
      deviations: deviationsFor(rule.phi),
      told: told.get(rule.id) ?? new Map<number, number>(),
    }));
    const edgesTold = new Map(this.#edgeWatches.map((watch) => [watch.rule.id, watch.told]));
    this.#edgeWatches = edgeSilent.map((rule) => ({
      rule,
      told: edgesTold.get(rule.id) ?? new Map<string, number>(),
    }));
  }

  /** Goes on with what an earlier process knew. The newest first, in case there is room for some only. */
  restore(kept: readonly KeptDevice[], now: number): void {
    for (const { site, device, edge, lastHeard, history } of kept) {
      const number = this.#edges.number(edge, now);
      if (number === undefined) continue;
      const slot = this.devices.add(this.devices.site(site), device, number, lastHeard);
      if (slot === undefined) return;
      this.devices.setHistory(slot, history);
    }
  }
  /** Alerts that are open: their devices and edges are suspects until they are heard. After `setRules`, `restore`. */
  restoreOpen(open: readonly (SeriesKey & { readonly lastTs: number })[], now: number): void {
    for (const { rule, site, device, lastTs } of open) {
      const edgeWatch = this.#edgeWatches.find((watch) => watch.rule.id === rule);
      if (edgeWatch !== undefined) {
        this.#edges.number(device, now);
        edgeWatch.told.set(device, lastTs);
      }
      const watch = this.#watches.find((one) => one.rule.id === rule);
      if (watch === undefined) continue;
      const number = this.#edges.number(NO_SITE, now) ?? 0;
      const slot =
        this.devices.find(site, device) ??
        this.devices.add(this.devices.site(site), device, number, Number.NEGATIVE_INFINITY);
      if (slot === undefined) continue;
      watch.told.set(slot, lastTs);
      this.devices.setSuspect(slot, true);
    }
  }

  /** Number of an edge for `heard`; undefined when there are too many. `now`: local monotonic milliseconds. */
  edge(name: string, now: number): number | undefined {
    return this.#edges.number(name, now);
  }

  /**
   * A device was heard by an edge.
   * @param site from `devices.site`
   * @param at arrival at the edge, epoch milliseconds
   */
  heard(site: ReturnType<DeviceColumns['site']>, device: string, edge: number, at: number): void {
    const { devices } = this;
    const slot = site.devices.get(device);
    if (slot === undefined) {
      devices.add(site, device, edge, at);
      return;
    }
    const before = devices.lastHeard[slot] as number;
    if (devices.edge[slot] !== edge) {
      if (at < before - CLOCKS_DIFFER_MS) return;
      // two clocks: the time between the two says nothing
      devices.edge[slot] = edge;
      devices.lastHeard[slot] = at;
    } else {
      if (at <= before) return;
      devices.lastHeard[slot] = at;
      const { since, joined } = this.#edges.all[edge] as Edge;
      if (before >= since && before >= joined) devices.learn(slot, at - before);
    }
    if (devices.isSuspect(slot)) this.#returned.push(slot);
  }

  /** An edge told how far it is, in one of the queues that its heartbeats come through. */
  progress(said: EdgeProgress, queue: HeartbeatQueue, now: number): void {
    const number = this.#edges.number(said.edge, now);
    if (number === undefined) return;
    const edge = this.#edges.all[number] as Edge;
    if (this.#edges.progress(edge, queue, said, now)) this.#setBack(number, edge.upTo);
    if (edge.advanced) this.#anyAdvanced = true;
  }
  #setBack(edge: number, upTo: number): void {
    const { devices } = this;
    for (let slot = 0; slot < devices.size; slot++) {
      if (devices.edge[slot] !== edge) continue;
      devices.lastHeard[slot] = Math.min(devices.lastHeard[slot] as number, upTo);
    }
  }

  /** What has changed since the last call: who fell silent, who came back. */
  judge(): Observation[] {
    const found: Observation[] = [];
    for (const slot of this.#returned) this.#clear(slot, this.devices.lastHeard[slot] as number, found);
    this.#returned = [];
    if (!this.#anyAdvanced) return found;
    this.#anyAdvanced = false;
    const { devices } = this;
    const { all } = this.#edges;
    const least = Math.min(WATCHED, ...this.#watches.map(({ deviations }) => deviations));
    for (let slot = 0; slot < devices.size; slot++) {
      const edge = all[devices.edge[slot] as number] as Edge;
      if (!edge.advanced || !devices.isUsed(slot)) continue;
      const silent = this.#silence(slot, edge);
      if (silent > this.#options.forgetMs) {
        this.#forget(slot, edge.upTo, found);
      } else if (devices.isJudged(slot) && silent >= silenceFor(least, devices.rhythm(slot))) {
        this.#suspect(slot, edge, silent, found);
      }
    }
    for (const edge of all) edge.advanced = false;
    return found;
  }

  /** For how long its edge has listened and not heard it, milliseconds. */
  #silence(slot: number, { upTo, since, joined }: Edge): number {
    let from = this.devices.lastHeard[slot] as number;
    // it was not heard since its edge listens again: it may have to connect first
    if (from < since) from = since + this.#options.reconnectMs;
    return upTo - Math.max(from, joined);
  }
  #suspect(slot: number, edge: Edge, silent: number, found: Observation[]): void {
    const { devices } = this;
    const rhythm = devices.rhythm(slot);
    for (const { rule, deviations, told } of this.#watches) {
      if (told.has(slot) || silent < silenceFor(deviations, rhythm)) continue;
      const site = devices.siteOf(slot);
      const device = devices.nameOf(slot);
      if (!covers(rule, site, device)) continue;
      const ts = Math.round(edge.upTo);
      told.set(slot, ts);
      devices.setSuspect(slot, true);
      const value = rounded(phi(silent, rhythm));
      const series = { rule: rule.id, site, device, metric: '' };
      found.push({ ...series, ts, met: true, cleared: false, value, threshold: rule.phi });
    }
  }
  #clear(slot: number, at: number, found: Observation[]): void {
    const { devices } = this;
    if (!devices.isSuspect(slot)) return;
    devices.setSuspect(slot, false);
    const site = devices.siteOf(slot);
    const device = devices.nameOf(slot);
    for (const { rule, told } of this.#watches) {
      const toldAt = told.get(slot);
      if (toldAt === undefined) continue;
      told.delete(slot);
      // later than what it ends, whatever the clocks of two edges say
      const ts = Math.max(Math.round(at), toldAt + 1);
      const series = { rule: rule.id, site, device, metric: '' };
      found.push({ ...series, ts, met: false, cleared: true, value: 0, threshold: rule.phi });
    }
  }
  #forget(slot: number, at: number, found: Observation[]): void {
    const { devices } = this;
    this.#clear(slot, at, found);
    this.#forgotten.push({ site: devices.siteOf(slot), device: devices.nameOf(slot) });
    devices.remove(slot);
  }
  /** Nobody judges them any more: the time of their edge does not go on. */
  #forgetDevicesOf(edge: number, at: number, found: Observation[]): void {
    const { devices } = this;
    for (let slot = 0; slot < devices.size; slot++) {
      if (devices.edge[slot] === edge && devices.isUsed(slot)) this.#forget(slot, at, found);
    }
  }
  /** Devices that were forgotten since the last call. */
  takeForgotten(): readonly { readonly site: string; readonly device: string }[] {
    const taken = this.#forgotten;
    this.#forgotten = [];
    return taken;
  }

  /**
   * Edges that told nothing for as long as a rule says, and those that tell again.
   * @param now local monotonic milliseconds
   * @param wall epoch milliseconds, for the observations
   * @param listening false: nothing can be heard from any edge at the moment, so none is silent
   */
  judgeEdges(now: number, wall: number, listening: boolean): Observation[] {
    const found: Observation[] = [];
    for (const [number, edge] of this.#edges.all.entries()) {
      if (edge.name === NO_SITE) continue;
      if (!listening && !this.#edgeWatches.some(({ told }) => told.has(edge.name))) edge.toldAt = now;
      const silent = now - edge.toldAt;
      if (silent > this.#options.forgetMs && !edge.gone) {
        edge.gone = true;
        this.#forgetDevicesOf(number, wall, found);
      }
      for (const { rule, told } of this.#edgeWatches) {
        const toldAt = told.get(edge.name);
        const series = { rule: rule.id, site: NO_SITE, device: edge.name, metric: '' };
        const figures = { value: Math.round(silent / 1_000), threshold: rule.after / 1_000 };
        const isForgotten = silent > this.#options.forgetMs;
        if (toldAt === undefined) {
          if (silent < rule.after || isForgotten || !covers({ ...rule, device: '*' }, NO_SITE, edge.name))
            continue;
          told.set(edge.name, wall);
          found.push({ ...series, ...figures, ts: wall, met: true, cleared: false });
        } else if (isForgotten || (silent < rule.after && Object.keys(edge.marks).length > 0)) {
          told.delete(edge.name);
          found.push({ ...series, ...figures, ts: Math.max(wall, toldAt + 1), met: false, cleared: true });
        }
      }
    }
    return found;
  }

  view(site: string, device: string): DeviceLiveness | undefined {
    const slot = this.devices.find(site, device);
    return slot === undefined ? undefined : this.#view(slot);
  }
  #view(slot: number): DeviceLiveness {
    const { devices } = this;
    const edge = this.#edges.all[devices.edge[slot] as number] as Edge;
    const rhythm = devices.isJudged(slot) ? devices.rhythm(slot) : null;
    const isTimed = edge.upTo >= edge.joined;
    const value =
      rhythm === null || !isTimed ? null : rounded(phi(Math.max(0, this.#silence(slot, edge)), rhythm));
    let state: LivenessState = 'online';
    if (devices.isSuspect(slot) || (value !== null && value >= DEFAULT_THRESHOLD)) state = 'suspect';
    else if (rhythm === null) state = 'learning';
    else if (!isTimed) state = 'unknown';
    return {
      site: devices.siteOf(slot),
      device: devices.nameOf(slot),
      edge: edge.name,
      state,
      phi: value,
      periodMs: rhythm === null ? null : Math.round(rhythm.period),
      deviationMs: rhythm === null ? null : Math.round(rhythm.deviation),
      intervals: devices.intervals(slot),
      lastHeard: devices.lastHeard[slot] as number,
      judgedAt: isTimed ? edge.upTo : null,
    };
  }

  /** What is worth keeping and not yet kept, at most `limit`. When keeping fails, `devices.giveBack` the slots. */
  takeUnsaved(limit: number): { readonly slots: readonly number[]; readonly kept: readonly KeptDevice[] } {
    const { devices } = this;
    const slots = devices.takeUnsaved(limit);
    // one that is known by its alert alone has nothing to keep
    const heard = slots.filter((slot) => Number.isFinite(devices.lastHeard[slot]));
    const kept = heard.map((slot) => ({
      site: devices.siteOf(slot),
      device: devices.nameOf(slot),
      edge: (this.#edges.all[devices.edge[slot] as number] as Edge).name,
      lastHeard: devices.lastHeard[slot] as number,
      history: devices.history(slot),
    }));
    return { slots, kept };
  }

  /** For metrics. */
  get counts(): {
    readonly devices: number;
    readonly suspects: number;
    readonly refused: number;
    readonly edges: number;
  } {
    const suspects = new Set(this.#watches.flatMap(({ told }) => [...told.keys()])).size;
    const { known, refused } = this.devices;
    return { devices: known, suspects, refused, edges: this.#edges.all.length };
  }
}

const rounded = (value: number): number => Math.min(1_000, Math.round(value * 100) / 100);
