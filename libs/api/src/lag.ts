import { z } from 'zod';
import { instant, instantParam } from './common.ts';

export const lagSystem = z.enum(['kafka', 'rabbitmq']);
export type LagSystem = z.output<typeof lagSystem>;

export const LAG_VERDICTS = ['OK', 'WARN', 'ERR', 'STOP', 'STALL', 'REWIND', 'UNKNOWN'] as const;
export const lagVerdict = z
  .enum(LAG_VERDICTS)
  .describe(
    'OK; WARN: behind the allowed lag and catching up, or falling behind; ERR: behind the allowed lag and not catching ' +
      'up, or about to lose data, or lost some; STOP: something waits and nobody consumes; STALL: somebody consumes and ' +
      'commits or acknowledges nothing; REWIND: went back and has not yet caught up; UNKNOWN: cannot be told, the rule says why',
  );
export type LagVerdict = z.output<typeof lagVerdict>;

/** Why a verdict is what it is. */
export const lagRule = z
  .object({
    number: z.number().int().min(1).describe('Number of the rule; libs/lag/README.md lists them'),
    name: z.string(),
    text: z.string().describe('One sentence with the numbers in it'),
    numbers: z
      .record(z.string(), z.union([z.number(), z.string(), z.null()]))
      .describe('What it was judged on; names end in their unit'),
  })
  .meta({ id: 'LagRule' });
export type LagRule = z.output<typeof lagRule>;

const items = z.number().int().min(0).nullable();
const ms = z.number().min(0).nullable();

/** What group and partition have in common. */
const figures = {
  lag: items.describe('Records or messages that wait; null: unknown, for example nothing was ever committed'),
  timeLagMs: ms.describe(
    'How long the oldest of them has waited; 0: nothing waits; null: unknown. Of a queue it is the head age',
  ),
  velocity: z
    .number()
    .nullable()
    .describe('Change of the lag over the last minute, items a second; positive: it grows'),
  etaMs: ms.describe('Until the lag is 0 at this velocity; null: it does not shrink'),
  retentionMarginItems: items.describe('Records between the start of the log and the committed place'),
  timeToLossMs: ms.describe('Until retention may delete the oldest waiting record; null: never, or unknown'),
  inRate: z.number().min(0).nullable().describe('Items a second that came in, over the last minute'),
  outRate: z.number().min(0).nullable().describe('Items a second that were committed or acknowledged'),
  verdict: lagVerdict,
  since: instant.describe('When this verdict began'),
  rule: lagRule,
};

export const lagPartition = z
  .object({
    topic: z.string(),
    partition: z.number().int().min(0),
    consumer: z.string().nullable().describe('Client id of the member that has it; null: nobody'),
    committed: z.number().int().nullable(),
    start: z.number().int().nullable().describe('First offset that the log still has'),
    end: z.number().int().nullable().describe('Offset after the last record'),
    timeLagBy: z
      .enum(['caught-up', 'record', 'interpolated', 'at-least'])
      .nullable()
      .describe(
        'How timeLagMs is known: from the record itself, or from when the log had which end; ' +
          'at-least: it was there when watching began',
      ),
    ...figures,
  })
  .meta({ id: 'LagPartition' });
export type LagPartition = z.output<typeof lagPartition>;

/** A Kafka consumer group, or a RabbitMQ queue. */
export const lagGroup = z
  .object({
    system: lagSystem,
    group: z.string().describe('Name of the consumer group, or of the queue'),
    ours: z.boolean().describe('Whether it belongs to this installation of Weir'),
    topics: z.array(z.string()).describe('Empty for a queue'),
    partitions: z.number().int().min(0).describe('1 for a queue'),
    state: z
      .string()
      .nullable()
      .describe('As the broker calls it: Stable, Empty, PreparingRebalance; running'),
    consumers: z.number().int().min(0).nullable(),
    headAgeMs: ms.describe('Age of the message at the head of a queue; null for a Kafka group'),
    unacked: items.describe('Messages of a queue that are delivered and not acknowledged; they count as lag'),
    judgedAt: instant.describe('Time of the measurement that this was judged on'),
    ...figures,
  })
  .meta({ id: 'LagGroup' });
export type LagGroup = z.output<typeof lagGroup>;

export const lagProblem = z.object({
  system: lagSystem,
  since: instant,
  message: z.string().describe('Why nothing can be measured there'),
});

export const lagList = z
  .object({
    at: instant.describe('Time of the newest measurement'),
    intervalMs: z.number().describe('Time between two measurements'),
    groups: z.array(lagGroup).describe('Worst first, then by system and name'),
    problems: z.array(lagProblem),
    left: z.number().int().describe('Partitions that are not watched because there are more than configured'),
  })
  .meta({ id: 'LagList' });
export type LagList = z.output<typeof lagList>;

/** Query of `/lag/group`, `/lag/explain` of a monitor; path of `/lag/{system}/{group}` of the API. */
export const lagTarget = z.strictObject({ system: lagSystem, group: z.string().min(1).max(255) });
export const lagDetail = z
  .object({ group: lagGroup, members: z.array(lagPartition).describe('Its partitions, worst first') })
  .meta({ id: 'LagDetail' });
export type LagDetail = z.output<typeof lagDetail>;

/** Query of `/lag/history`. */
export const lagHistoryQuery = lagTarget.extend({
  from: instantParam.optional().describe('An hour before `to`, unless given'),
  to: instantParam.optional().describe('Now, unless given'),
  points: z.coerce.number().int().min(2).max(2_000).default(300).describe('Points at most'),
});
export const lagHistory = z
  .object({
    system: lagSystem,
    group: z.string(),
    stepMs: z.number().describe('Time that one point stands for'),
    points: z.array(
      z.object({
        at: instant.describe('Beginning of its time'),
        lag: z.number().nullable().describe('Largest of its time, as the others'),
        timeLagMs: z.number().nullable(),
        inRate: z.number().nullable(),
        outRate: z.number().nullable(),
        verdict: lagVerdict.describe('Worst of its time'),
      }),
    ),
  })
  .meta({ id: 'LagHistory' });
export type LagHistory = z.output<typeof lagHistory>;

export const LAG_CAUSES = [
  'none',
  'input-spike',
  'slow-sink',
  'slow-consumer',
  'hung-consumer',
  'no-consumer',
  'rebalance',
  'too-few-partitions',
  'hot-partition',
  'broker',
  'unknown',
] as const;
export const lagCause = z
  .object({
    cause: z.enum(LAG_CAUSES),
    score: z.number().min(0).max(1).describe('How well the numbers fit'),
    text: z.string().describe('One sentence with the numbers that speak for it'),
    advice: z.string().describe('What to do'),
  })
  .meta({ id: 'LagCause' });
export type LagCause = z.output<typeof lagCause>;

export const lagExplanation = z
  .object({
    group: lagGroup,
    cause: lagCause.describe('The likeliest'),
    others: z.array(lagCause).describe('What else fits, the likeliest first'),
    worst: z.array(lagPartition).describe('Up to ten partitions, worst first'),
  })
  .meta({ id: 'LagExplanation' });
export type LagExplanation = z.output<typeof lagExplanation>;
