import { z } from 'zod';
import { instant } from './common.ts';

const ledgerHop = z
  .enum(['spool', 'kafka', 'archive', 'dead-letters'])
  .describe(
    'spool: taken by an edge and not sent; kafka: sent and not in the windows; archive: archived and not there any more; dead-letters: in the topic of the dead letters and not in their index',
  );
const readings = z.number().int().min(0);

const unit = z.enum(['readings', 'letters']).describe('What is counted');
const figures = {
  accepted: readings
    .nullable()
    .describe('Came to it; null here and below: nothing of the kind, or not known'),
  sent: readings.nullable().describe('Handed on'),
  stored: readings.nullable().describe('In the windows also those that follow from others'),
  duplicates: readings.nullable(),
  deadLettered: readings.nullable().describe('Of readings: late, refused, or unreadable lines'),
  dropped: readings.nullable().describe('By the policy of a buffer that was full'),
  inFlight: readings.nullable().describe('On their way; null: not known, as of edges none of which answers'),
};

const hopBalance = z
  .object({
    hop: ledgerHop,
    unit,
    ...figures,
    residual: readings.describe('Readings that are missing, without those that somebody took note of'),
    lost: readings.describe('Readings that are missing in all'),
    text: z.string().describe('One sentence'),
  })
  .meta({ id: 'LedgerHop' });

const ledgerFlow = z
  .object({ flow: z.enum(['alerter', 'dead-letter-queues']), unit, ...figures, text: z.string() })
  .meta({ id: 'LedgerFlow' });

const ledgerLoss = z
  .object({
    id: z.string(),
    hop: ledgerHop,
    readings,
    acknowledged: readings,
    edge: z.string().nullable().describe('<edge id>/<spool id>'),
    partition: z.number().int().nullable(),
    object: z.string().nullable().describe('Key of an archive object'),
  })
  .meta({ id: 'LedgerLoss' });

export const ledger = z
  .object({
    at: instant,
    began: instant.describe('What was sent by an edge before that is not asked for'),
    residual: readings.describe('Sum over the hops; 0: the ledger balances'),
    text: z.string().describe('One sentence'),
    hops: z.array(hopBalance),
    losses: z.array(ledgerLoss).describe('The largest first, at most 100'),
    totals: z
      .object({
        taken: readings.describe('Readings and refused messages that the spools have taken'),
        sent: readings.describe('Readings in Kafka'),
        letters: readings.describe('Refused messages, now dead letters'),
        buried: readings.describe('Dead letters because Kafka can never take them'),
        dropped: readings.describe('Dropped by the policy of a full spool'),
        lost: readings,
      })
      .describe('Of the edges that answer, since their counts began'),
    flows: z
      .array(ledgerFlow)
      .describe('What is counted and cannot be balanced: what came twice looks like any other'),
    unanswered: z.array(z.string()).describe('Whom nothing is known of at the moment, and why'),
  })
  .meta({ id: 'Ledger' });
export type Ledger = z.output<typeof ledger>;
