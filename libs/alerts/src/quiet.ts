import type { Evaluation, ReadingBatch } from './evaluation.ts';
import { isClear, meetsLimits } from './limits.ts';
import { changePerMs, isRemembered, type RateMemory } from './rate.ts';
import { covers, type ReadingRule, type RuleSet } from './rule-set.ts';
import type { RuleState, SeriesKey } from './types.ts';

type TelemetryReading = ReadingBatch['readings'][number];

/**
 * How far, in event time, readings may go before how far they are is stored. Each series has a span of its own, so that
 * they are not stored all at once.
 */
const STORED_EVERY_MS = 30_000;
const SPREAD_MS = 30_000;
/** The same while an alert is open: few are, and an older reading that comes late could end it. */
const OPEN_STORED_EVERY_MS = 5_000;
/** The spread by the golden ratio: those that follow one another lie far apart. */
const STRIDE_MS = 18_541;

/** Where a rule stands with one device. */
interface Kept {
  phase: RuleState['phase'];
  since: number;
  lastTs: number;
  /** `lastTs` of the stored state. Phase, beginning and memory are always the stored ones. */
  storedTs: number;
  memory: RateMemory | undefined;
  readonly everyMs: number;
}

interface Device {
  /** By the rule's place in the watch. Null: the rule does not cover the device; undefined: not known. */
  readonly kept: (Kept | null | undefined)[];
  /** The batch in which a reading of it was left; the later ones of that batch are left too. */
  leftIn: number;
}

/** The rules about the readings of one metric of a site, and where they stand. */
interface Watch {
  readonly rules: readonly ReadingRule[];
  /** Devices that rules name; null: a rule is for all. */
  readonly named: ReadonlySet<string> | null;
  readonly devices: Map<string, Device>;
}

const NONE: readonly TelemetryReading[] = [];

/**
 * Where rules about readings stand, in memory, and with it the readings that tell nothing new. Nearly all are such:
 * what they leave behind is how far their series is, and that is stored only now and then.
 *
 * Whoever loses this memory goes on from the stored states. **Every reading that was dealt with since a state was stored
 * changes nothing but `lastTs` when it is evaluated from that state, in any order and however often**, because one that
 * would is not taken here, and what is evaluated is stored with all its states. So messages that are delivered again
 * neither raise an alert twice nor end one, and none is lost with those that do not come again. Only a reading that was
 * never evaluated, and would have been too old for this memory, may count after a loss.
 */
export class QuietSeries {
  readonly #rules: RuleSet;
  readonly #limit: number;
  readonly #sites = new Map<string, Map<string, Watch>>();
  #size = 0;
  #batch = 0;
  /** Readings compared with a rule, each rule counted, since the last `begin`. */
  evaluated = 0;

  /** @param limit states that are kept; with more the memory begins anew */
  constructor(rules: RuleSet, limit: number) {
    this.#rules = rules;
    this.#limit = limit;
  }

  /** A batch of readings follows, which is evaluated as one. */
  begin(): void {
    this.#batch++;
    this.evaluated = 0;
    if (this.#size > this.#limit) this.clear();
  }

  /**
   * Takes the readings that change nothing which has to be stored, and answers the others.
   * @param isWaiting rules made of others wait for the time to pass at this device, and any reading tells them
   */
  take(
    { site, metric, readings }: ReadingBatch,
    isWaiting: ((site: string, device: string) => boolean) | null,
  ): readonly TelemetryReading[] {
    const watch = this.#watch(site, metric);
    let left: TelemetryReading[] | null = null;
    for (const reading of readings) {
      const { device } = reading;
      if (watch.named?.has(device) === false) continue;
      const known = watch.devices.get(device);
      if (known !== undefined) {
        if (isWaiting?.(site, device) !== true && this.#takes(watch, known, reading)) continue;
        known.leftIn = this.#batch;
      }
      if (left === null) left = [];
      left.push(reading);
    }
    return left ?? NONE;
  }

  #takes({ rules }: Watch, { kept, leftIn }: Device, { ts, value }: TelemetryReading): boolean {
    if (leftIn === this.#batch) return false;
    let count = 0;
    for (let i = 0; i < rules.length; i++) {
      const one = kept[i];
      if (one === null) continue;
      if (one === undefined || !isQuiet(rules[i] as ReadingRule, one, ts, value)) return false;
      count++;
    }
    for (const one of kept) if (one && ts > one.lastTs) one.lastTs = ts;
    this.evaluated += count;
    return true;
  }

  /** Undefined: not kept here. */
  state(series: SeriesKey): RuleState | undefined {
    const kept = this.#kept(series);
    if (kept === undefined) return undefined;
    const { phase, since, lastTs, memory } = kept;
    const more = memory === undefined ? {} : { memory };
    return phase === 'ok' ? { phase, lastTs, ...more } : { phase, since, lastTs, ...more };
  }

  /**
   * What has to be stored after an evaluation: every state that it moved, and those of which it ignored a reading that
   * the stored state would not ignore.
   * @param series what was touched
   */
  unstored(series: ReadonlyMap<string, SeriesKey>, { states }: Evaluation): Evaluation['states'] {
    const found = new Map(states);
    for (const [key, one] of series) {
      const kept = found.has(key) ? undefined : this.#kept(one);
      if (kept === undefined || kept.lastTs <= kept.storedTs) continue;
      found.set(key, { series: one, state: this.state(one) as RuleState });
    }
    return found;
  }

  /** A state as it is stored. False: it is not one of a rule about readings. */
  stored(series: SeriesKey, state: RuleState): boolean {
    const { rule, site, device, metric } = series;
    const watch = this.#watch(site, metric);
    const place = watch.rules.findIndex(({ id }) => id === rule);
    if (place < 0) return false;
    let known = watch.devices.get(device);
    if (known === undefined) {
      const kept = watch.rules.map((one) => (covers(one, site, device) ? undefined : null));
      known = { kept, leftIn: 0 };
      watch.devices.set(device, known);
    }
    const before = known.kept[place];
    if (before === null) return false;
    const { phase, lastTs, memory } = state;
    const since = state.phase === 'ok' ? Number.NaN : state.since;
    const now = { phase, since, lastTs, storedTs: lastTs, memory };
    if (before !== undefined) Object.assign(before, now);
    else {
      const everyMs = STORED_EVERY_MS + ((this.#size++ * STRIDE_MS) % SPREAD_MS);
      known.kept[place] = { ...now, everyMs };
    }
    return true;
  }

  /** Goes on with what is known of series that rules of the same id and kind still cover. */
  adopt(other: QuietSeries): void {
    for (const [site, metrics] of other.#sites) {
      for (const [metric, { rules, devices }] of metrics) {
        for (const [device, { kept }] of devices) {
          for (const [place, one] of kept.entries()) {
            const { id, kind } = rules[place] as ReadingRule;
            if (!one || this.#rules.get(id)?.kind !== kind) continue;
            const series = { rule: id, site, device, metric };
            const { lastTs } = one;
            const stored = { ...(other.state(series) as RuleState), lastTs: one.storedTs };
            if (this.stored(series, stored)) (this.#kept(series) as Kept).lastTs = lastTs;
          }
        }
      }
    }
  }

  /** It is not known any more what is stored of it. */
  forget({ rule, site, device, metric }: SeriesKey): void {
    const watch = this.#watch(site, metric);
    const known = watch.devices.get(device);
    const place = watch.rules.findIndex(({ id }) => id === rule);
    if (known?.kept[place]) {
      known.kept[place] = undefined;
      this.#size--;
    }
  }

  clear(): void {
    this.#sites.clear();
    this.#size = 0;
  }

  #kept({ rule, site, device, metric }: SeriesKey): Kept | undefined {
    const watch = this.#watch(site, metric);
    const place = watch.rules.findIndex(({ id }) => id === rule);
    return watch.devices.get(device)?.kept[place] ?? undefined;
  }

  #watch(site: string, metric: string): Watch {
    const metrics = this.#sites.get(site) ?? new Map<string, Watch>();
    let watch = metrics.get(metric);
    if (watch === undefined) {
      const rules = this.#rules.watching(site, metric);
      const devices = rules.map(({ device }) => device);
      const named = devices.includes('*') ? null : new Set(devices);
      watch = { rules, named, devices: new Map() };
      if (rules.length > 0) this.#sites.set(site, metrics.set(metric, watch));
    }
    return watch;
  }
}

/** Whether a reading changes nothing but how far its series is, and that need not be stored yet. */
function isQuiet(rule: ReadingRule, kept: Kept, ts: number, value: number): boolean {
  // Too old; by the stored state too?
  if (ts <= kept.lastTs) return ts <= kept.storedTs;
  if (ts - kept.storedTs >= (kept.phase === 'ok' ? kept.everyMs : OPEN_STORED_EVERY_MS)) return false;
  let seen = value;
  if (rule.kind === 'rate') {
    const { memory = [] } = kept;
    if (isRemembered(memory, rule.over, ts)) return false;
    const perMs = changePerMs(memory, rule.over, ts, value);
    if (perMs === null) return true;
    seen = perMs * rule.per;
  }
  if (kept.phase === 'firing') return meetsLimits(rule, seen) || !isClear(rule, seen);
  if (kept.phase === 'ok') return !meetsLimits(rule, seen);
  return meetsLimits(rule, seen) && ts - kept.since < rule.hold;
}
