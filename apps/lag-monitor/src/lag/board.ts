import type { LagGroup, LagPartition, LagSystem } from '@weir/api';
import {
  causesOf,
  GroupWatch,
  type JudgedGroup,
  type JudgedPartition,
  type Limits,
  RANK,
  type Surroundings,
} from '@weir/lag';
import type { MeasuredGroup, Round } from './measured.ts';

/** A group or queue with its newest verdict. */
export interface Standing {
  readonly measured: MeasuredGroup;
  readonly judged: JudgedGroup;
}
interface Entry extends Standing {
  readonly watch: GroupWatch;
}

/** What the consumers of a group say of themselves; null: nothing is known. */
export type AskBusy = (group: string) => Surroundings['busy'];

/** All groups and queues of which anything is known, and how they stand. */
export class Board {
  readonly #limitsOf: (name: string) => Limits;
  readonly #groups = new Map<string, Entry>();
  readonly #systems = new Map<LagSystem, { at: number; tookMs: number | null; left: number }>();
  readonly #problems = new Map<LagSystem, { readonly since: number; readonly message: string }>();

  constructor(limitsOf: (name: string) => Limits) {
    this.#limitsOf = limitsOf;
  }

  /** Judges what was measured; a group or queue that is there no more is forgotten. */
  take(system: LagSystem, { at, groups, tookMs, left }: Round): readonly Standing[] {
    this.#systems.set(system, { at, tookMs, left });
    this.#problems.delete(system);
    const gone = new Set(this.#of(system).map(({ measured }) => measured.name));
    const standings = groups.map((measured) => {
      gone.delete(measured.name);
      const key = keyOf(system, measured.name);
      const watch = this.#groups.get(key)?.watch ?? new GroupWatch(this.#limitsOf(measured.name));
      const entry = { measured, watch, judged: watch.take(at, measured.partitions) };
      this.#groups.set(key, entry);
      return entry;
    });
    for (const name of gone) this.#groups.delete(keyOf(system, name));
    return standings;
  }

  /** Nothing could be measured: everything that is known there is UNKNOWN. */
  miss(system: LagSystem, at: number, why: string): readonly Standing[] {
    this.#systems.set(system, { at, tookMs: null, left: this.#systems.get(system)?.left ?? 0 });
    this.#problems.set(system, { since: this.#problems.get(system)?.since ?? at, message: why });
    return this.#of(system).map(({ measured, watch }) => {
      const entry = { measured, watch, judged: watch.missing(at, why, measured.partitions) };
      this.#groups.set(keyOf(system, measured.name), entry);
      return entry;
    });
  }

  /** When the record at an offset came, as far as it is known without reading it, epoch milliseconds. */
  knows(group: string, topic: string, partition: number, offset: number): number | null {
    return this.#groups.get(keyOf('kafka', group))?.watch.knows({ topic, partition }, offset) ?? null;
  }

  /** Null before the first measurement. */
  get at(): number | null {
    const times = [...this.#systems.values()].map(({ at }) => at);
    return times.length === 0 ? null : Math.max(...times);
  }
  get left(): number {
    return [...this.#systems.values()].reduce((sum, { left }) => sum + left, 0);
  }
  get problems() {
    return [...this.#problems].map(([system, { since, message }]) => ({
      system,
      since: iso(since),
      message,
    }));
  }
  /** Worst first, then by system and name. */
  get standings(): readonly Standing[] {
    return [...this.#groups.values()].sort(
      (a, b) =>
        RANK[b.judged.verdict] - RANK[a.judged.verdict] ||
        a.measured.system.localeCompare(b.measured.system) ||
        a.measured.name.localeCompare(b.measured.name),
    );
  }
  find(system: LagSystem, name: string): Standing | undefined {
    return this.#groups.get(keyOf(system, name));
  }

  /** The likely causes of how a group or queue stands, the likeliest first. */
  causes({ measured, judged }: Standing, askBusy: AskBusy) {
    const { system, name, consumers, rebalancing } = measured;
    const waiting = this.#of(system).filter(
      (one) => one.measured.name !== name && (one.judged.lag ?? 0) > 0 && one.measured.consumers !== 0,
    );
    return causesOf(judged, {
      ...{ system, consumers, rebalancing, busy: askBusy(name) },
      brokerMs: this.#systems.get(system)?.tookMs ?? null,
      others: { waiting: waiting.length, still: waiting.filter(({ judged }) => judged.outRate === 0).length },
    });
  }

  #of(system: LagSystem): Entry[] {
    return [...this.#groups.values()].filter(({ measured }) => measured.system === system);
  }
}

const keyOf = (system: LagSystem, name: string): string => `${system}\0${name}`;
const iso = (ms: number): string => new Date(ms).toISOString();
const whole = (value: number | null): number | null => (value === null ? null : Math.round(value));

/** As the API shows it. */
export function showGroup({ measured, judged }: Standing): LagGroup {
  const { system, name, ours, state, consumers, unacked } = measured;
  const { at, partitions, since, rule, verdict, lag, timeLagMs, velocity, etaMs } = judged;
  const { retentionMarginItems, timeToLossMs, inRate, outRate } = judged;
  return {
    ...{ system, group: name, ours, state, consumers, unacked },
    topics: [...new Set(partitions.map(({ topic }) => topic).filter((topic) => topic !== ''))].sort(),
    partitions: partitions.length,
    headAgeMs: system === 'rabbitmq' ? timeLagMs : null,
    judgedAt: iso(at),
    ...{ lag, timeLagMs: whole(timeLagMs), velocity, etaMs: whole(etaMs), retentionMarginItems },
    ...{ timeToLossMs: whole(timeToLossMs), inRate, outRate, verdict, since: iso(since), rule },
  };
}

/** As the API shows it. */
export function showPartition(one: JudgedPartition): LagPartition {
  const { topic, partition, consumer, committed, start, end, timeLagBy, since, rule, verdict } = one;
  const { lag, timeLagMs, velocity, etaMs, retentionMarginItems, timeToLossMs, inRate, outRate } = one;
  return {
    ...{ topic, partition, consumer, committed, start, end, timeLagBy },
    ...{ lag, timeLagMs: whole(timeLagMs), velocity, etaMs: whole(etaMs), retentionMarginItems },
    ...{ timeToLossMs: whole(timeToLossMs), inRate, outRate, verdict, since: iso(since), rule },
  };
}
