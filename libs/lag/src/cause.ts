import type { LagCause } from '@weir/api';
import type { JudgedGroup } from './group.ts';

/** What is known beside the lag itself. */
export interface Surroundings {
  readonly system: 'kafka' | 'rabbitmq';
  readonly consumers: number | null;
  /** The group is between two assignments now. */
  readonly rebalancing: boolean;
  /** How long the broker took to answer, milliseconds; null: it did not. */
  readonly brokerMs: number | null;
  /** Other groups or queues of this broker with something waiting, and how many of them move nothing. */
  readonly others: { readonly waiting: number; readonly still: number };
  /** Shares of time, 0..1, that the consumers say they wait for their sink, and work; null: they do not say. */
  readonly busy: { readonly sink: number; readonly work: number } | null;
}

const SLOW_BROKER_MS = 1_000;
const SPIKE = 1.5;
const SLOWER = 0.7;
const STEADY = 0.8;
const BUSY_SINK = 0.6;
const BUSY_WORK = 0.9;

const rate = (value: number | null): string =>
  value === null ? 'unknown' : `${value < 10 ? value.toFixed(1) : Math.round(value)}/s`;
const percent = (share: number): string => `${Math.round(share * 100)} %`;

type Made = Omit<LagCause, 'score'> & { readonly score: number };

/** The likely causes of a verdict, the likeliest first; never empty. */
export function causesOf(group: JudgedGroup, around: Surroundings): [LagCause, ...LagCause[]] {
  if (group.verdict === 'OK')
    return [{ cause: 'none', score: 1, text: 'Nothing is wrong.', advice: 'Nothing.' }];
  const found = [noConsumer, broker, rebalance, sink, hung, slow, spike, hot, tooFew]
    .flatMap((look) => look(group, around) ?? [])
    .sort((a, b) => b.score - a.score);
  const [first, ...rest] = found;
  return first === undefined ? [UNKNOWN] : [first, ...rest];
}

const UNKNOWN: LagCause = {
  cause: 'unknown',
  score: 0.1,
  text: 'The numbers point at nothing in particular.',
  advice: 'Look at the log of the consumer, and at its sink.',
};

function noConsumer({ verdict, rule }: JudgedGroup, { consumers, system }: Surroundings): Made | null {
  if (verdict !== 'STOP') return null;
  const some = consumers !== null && consumers > 0;
  return {
    cause: 'no-consumer',
    score: 1,
    text: some
      ? `The group has ${consumers} members, and none of them has this partition (${rule.text}).`
      : `Nobody consumes this ${system === 'kafka' ? 'group' : 'queue'}.`,
    advice: 'Start its consumer; when it runs, its log says why it does not connect.',
  };
}

function broker({ verdict, rule }: JudgedGroup, { brokerMs, others, system }: Surroundings): Made | null {
  const name = system === 'kafka' ? 'Kafka' : 'RabbitMQ';
  const advice = `Look at ${name}: its log, its disk, its memory, and the network to it.`;
  if (verdict === 'UNKNOWN') {
    return rule.number === 1 ? { cause: 'broker', score: 1, text: `${name}: ${rule.text}.`, advice } : null;
  }
  if (brokerMs !== null && brokerMs >= SLOW_BROKER_MS)
    return {
      cause: 'broker',
      score: 0.9,
      text: `${name} took ${(brokerMs / 1_000).toFixed(1)} s to answer.`,
      advice,
    };
  if (verdict === 'STOP' || others.waiting < 2 || others.still < 0.8 * others.waiting) return null;
  return {
    cause: 'broker',
    score: 0.93,
    text: `${others.still} of ${others.waiting} others that have something waiting move nothing either.`,
    advice,
  };
}

function rebalance({ rebalances }: JudgedGroup, { rebalancing }: Surroundings): Made | null {
  if (!rebalancing && rebalances < 2) return null;
  return {
    cause: 'rebalance',
    score: Math.min(0.95, 0.65 + 0.1 * rebalances),
    text: `The group ${rebalancing ? 'rebalances now' : 'is settled now'}; ${rebalances} rebalances began in the last five minutes.`,
    advice:
      'Look for members that come and go (restarts, a session timeout that is too short, a batch that takes too long).',
  };
}

function sink({ verdict, usual, outRate }: JudgedGroup, { busy }: Surroundings): Made | null {
  if (busy === null || busy.sink < BUSY_SINK || verdict === 'STOP') return null;
  return {
    cause: 'slow-sink',
    score: 0.96,
    text: `Its consumers wait for their sink ${percent(busy.sink)} of the time; they do ${rate(outRate)}, usually ${rate(usual?.outRate ?? null)}.`,
    advice: 'Look at what it writes to: load, locks, disk.',
  };
}

function hung({ verdict, rule }: JudgedGroup, { consumers, rebalancing }: Surroundings): Made | null {
  if (verdict !== 'STALL' || rebalancing) return null;
  return {
    cause: 'hung-consumer',
    score: 0.9,
    text: `${consumers === null ? 'A consumer' : `${consumers} consumers`} joined and got nothing done: ${rule.text}.`,
    advice:
      'Look at its log and its stack; a message that it cannot get past is in front of it, or its sink does not answer.',
  };
}

function slow(group: JudgedGroup, { busy }: Surroundings): Made | null {
  const { verdict, usual, inRate, outRate } = group;
  if (verdict === 'STOP' || verdict === 'STALL' || verdict === 'UNKNOWN') return null;
  const works = busy !== null && busy.work >= BUSY_WORK;
  const slower =
    usual !== null &&
    inRate !== null &&
    outRate !== null &&
    outRate < SLOWER * usual.outRate &&
    inRate >= STEADY * usual.inRate;
  if (!works && !slower) return null;
  return {
    cause: 'slow-consumer',
    score: works ? 0.88 : 0.7,
    text:
      `It does ${rate(outRate)}, usually ${rate(usual?.outRate ?? null)}, and ${rate(inRate)} come in.` +
      (works ? ` Its consumers work ${percent(busy.work)} of the time.` : ''),
    advice: works ? 'Give it CPU, or start another consumer.' : 'Look at the consumer and at its sink.',
  };
}

function spike({ verdict, usual, inRate, outRate }: JudgedGroup, _: Surroundings): Made | null {
  if (verdict === 'STOP' || verdict === 'STALL' || usual === null || inRate === null || outRate === null)
    return null;
  if (inRate < SPIKE * usual.inRate || inRate < 1 || outRate < STEADY * usual.outRate) return null;
  return {
    cause: 'input-spike',
    score: Math.min(0.9, 0.6 + 0.1 * (inRate / Math.max(usual.inRate, 1))),
    text: `${rate(inRate)} come in, usually ${rate(usual.inRate)}; it does ${rate(outRate)}, no less than usual.`,
    advice: 'It catches up when the input falls; when it stays, start another consumer.',
  };
}

function hot({ partitions, verdict }: JudgedGroup, _: Surroundings): Made | null {
  if (partitions.length < 3 || verdict === 'UNKNOWN') return null;
  const total = (pick: (one: (typeof partitions)[number]) => number | null): number =>
    partitions.reduce((sum, one) => sum + (pick(one) ?? 0), 0);
  const lag = total((one) => one.lag);
  const [worst] = partitions.toSorted((a, b) => (b.lag ?? 0) - (a.lag ?? 0));
  if (worst === undefined || lag === 0) return null;
  const share = (worst.lag ?? 0) / lag;
  const came = total(({ inRate }) => inRate);
  const inShare = came === 0 ? 0 : (worst.inRate ?? 0) / came;
  if (share < 0.6 || share < 3 / partitions.length || inShare < 2 / partitions.length) return null;
  return {
    cause: 'hot-partition',
    score: 0.92,
    text: `Partition ${worst.partition} of ${worst.topic} has ${percent(share)} of the lag and gets ${percent(inShare)} of the input.`,
    advice: 'Spread its keys: one device, or few of them, send most of it.',
  };
}

function tooFew(
  { partitions, verdict }: JudgedGroup,
  { consumers, busy, system }: Surroundings,
): Made | null {
  if (system !== 'kafka' || consumers === null || partitions.length === 0 || consumers < partitions.length)
    return null;
  if (verdict !== 'WARN' && verdict !== 'ERR') return null;
  const lagging = partitions.filter(({ lag }) => (lag ?? 0) > 0).length;
  if (lagging < STEADY * partitions.length) return null;
  const works = busy !== null && busy.work >= BUSY_WORK;
  return {
    cause: 'too-few-partitions',
    score: works ? 0.93 : 0.6,
    text: `${consumers} consumers share ${partitions.length} partitions and all of them lag: another consumer would get nothing to do.`,
    advice: 'Add partitions, or make one consumer faster.',
  };
}
