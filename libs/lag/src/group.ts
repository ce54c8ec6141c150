import type { LagRule, LagVerdict } from '@weir/api';
import { unmeasured } from './rules.ts';
import { RANK } from './settle.ts';
import type { Figures, Judged, Limits, Measurement, Unmeasured } from './types.ts';
import { Watch } from './watch.ts';

/** A partition of a group; of a queue, the queue itself (partition 0 of no topic). */
export interface PartitionName {
  readonly topic: string;
  readonly partition: number;
}
export interface MeasuredPartition extends PartitionName {
  /** Client id of the member that has it; null: nobody, or not told. */
  readonly consumer: string | null;
  readonly measured: Measurement | Unmeasured;
}
export interface JudgedPartition extends PartitionName, Judged {
  readonly consumer: string | null;
}

export interface JudgedGroup extends Omit<Figures, 'timeLagBy'> {
  readonly at: number;
  readonly verdict: LagVerdict;
  readonly rule: LagRule;
  readonly since: number;
  /** Worst first. */
  readonly partitions: readonly JudgedPartition[];
  /** Rates that were usual while all was well, items a second; null: not known yet. */
  readonly usual: { readonly inRate: number; readonly outRate: number } | null;
  /** Rebalances that were seen to begin in the last five minutes. */
  readonly rebalances: number;
}

const REBALANCES_MS = 300_000;
/** Rates of that many measurements in order say what is usual. */
const USUAL = 120;
const LEAST_USUAL = 6;

/** Watches a group, partition by partition. Its verdict is the worst of theirs. */
export class GroupWatch {
  #watches = new Map<string, Watch>();
  #limits: Limits;
  #verdict: { readonly verdict: LagVerdict; readonly since: number } | null = null;
  #usual: readonly { readonly inRate: number; readonly outRate: number }[] = [];
  #rebalances: readonly number[] = [];
  #rebalancing = false;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** What `Watch.knows` says of a partition. */
  knows({ topic, partition }: PartitionName, offset: number): number | null {
    return this.#watches.get(`${topic}\0${partition}`)?.knows(offset) ?? null;
  }

  /** Judges all partitions that the group has now; one that is not among them any more is forgotten. */
  take(at: number, partitions: readonly MeasuredPartition[]): JudgedGroup {
    const watches = new Map<string, Watch>();
    const judged = partitions.map(({ topic, partition, consumer, measured }): JudgedPartition => {
      const key = `${topic}\0${partition}`;
      const watch = this.#watches.get(key) ?? new Watch(this.#limits);
      watches.set(key, watch);
      return { topic, partition, consumer, ...watch.take(measured) };
    });
    this.#watches = watches;
    return this.#combine(at, judged, partitions);
  }

  /** Nothing of the group could be measured: every partition that is known says so. */
  missing(at: number, why: string, known: readonly PartitionName[]): JudgedGroup {
    const measured = { at, why };
    return this.take(
      at,
      known.map(({ topic, partition }) => ({ topic, partition, consumer: null, measured })),
    );
  }

  #combine(
    at: number,
    judged: readonly JudgedPartition[],
    measured: readonly MeasuredPartition[],
  ): JudgedGroup {
    const partitions = judged.toSorted(
      (a, b) =>
        RANK[b.verdict] - RANK[a.verdict] ||
        (b.timeLagMs ?? 0) - (a.timeLagMs ?? 0) ||
        (b.lag ?? 0) - (a.lag ?? 0) ||
        a.topic.localeCompare(b.topic) ||
        a.partition - b.partition,
    );
    // A partition of which nothing is known says nothing of the group while others are known.
    const worst = partitions.find(({ verdict }) => verdict !== 'UNKNOWN') ?? partitions[0];
    const verdict = worst?.verdict ?? 'UNKNOWN';
    if (this.#verdict?.verdict !== verdict) this.#verdict = { verdict, since: at };
    const rebalancing = measured.some((one) => 'rebalancing' in one.measured && one.measured.rebalancing);
    if (rebalancing && !this.#rebalancing) this.#rebalances = [...this.#rebalances, at];
    this.#rebalancing = rebalancing;
    this.#rebalances = this.#rebalances.filter((time) => time > at - REBALANCES_MS);
    const figures = sumOf(partitions);
    const { inRate, outRate } = figures;
    if (verdict === 'OK' && inRate !== null && outRate !== null)
      this.#usual = [...this.#usual, { inRate, outRate }].slice(-USUAL);
    return {
      at,
      ...figures,
      verdict,
      rule:
        worst === undefined ? unmeasured('the group has no partition').rule : named(worst, partitions.length),
      since: this.#verdict.since,
      partitions,
      usual: this.#usual.length < LEAST_USUAL ? null : usualOf(this.#usual),
      rebalances: this.#rebalances.length,
    };
  }
}

/** The rule of a partition, as that of its group. */
function named({ topic, partition, rule }: JudgedPartition, of: number): LagRule {
  if (of === 1 && topic === '') return rule;
  return {
    ...rule,
    text: `partition ${partition} of ${topic}: ${rule.text}`,
    numbers: { topic, partition, ...rule.numbers },
  };
}

function sumOf(partitions: readonly JudgedPartition[]): Omit<Figures, 'timeLagBy'> {
  const known = (pick: (one: JudgedPartition) => number | null): number[] =>
    partitions.flatMap((one) => pick(one) ?? []);
  const sum = (values: readonly number[]): number | null =>
    values.length === 0 ? null : values.reduce((total, value) => total + value, 0);
  const most = (values: readonly number[]): number | null =>
    values.length === 0 ? null : Math.max(...values);
  const least = (values: readonly number[]): number | null =>
    values.length === 0 ? null : Math.min(...values);
  const stuck = partitions.some(({ lag, etaMs }) => (lag ?? 0) > 0 && etaMs === null);
  return {
    lag: sum(known(({ lag }) => lag)),
    timeLagMs: most(known(({ timeLagMs }) => timeLagMs)),
    velocity: sum(known(({ velocity }) => velocity)),
    etaMs: stuck ? null : most(known(({ etaMs }) => etaMs)),
    retentionMarginItems: least(known(({ retentionMarginItems }) => retentionMarginItems)),
    timeToLossMs: least(known(({ timeToLossMs }) => timeToLossMs)),
    inRate: sum(known(({ inRate }) => inRate)),
    outRate: sum(known(({ outRate }) => outRate)),
  };
}

function usualOf(rates: readonly { readonly inRate: number; readonly outRate: number }[]) {
  const middle = (values: number[]): number =>
    values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
  return { inRate: middle(rates.map((one) => one.inRate)), outRate: middle(rates.map((one) => one.outRate)) };
}
