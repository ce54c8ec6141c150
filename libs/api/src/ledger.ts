import { z } from 'zod';
import { instant } from './common.ts';

const ledgerHop = z
  .enum(['spool', 'kafka', 'archive'])
  .describe(
    'spool: taken by an edge and not sent; kafka: sent and not in the windows; archive: archived and not there any more',
  );
const readings = z.number().int().min(0);

const hopBalance = z
  .object({
    hop: ledgerHop,
    residual: readings.describe('Readings that are missing, without those that somebody took note of'),
    lost: readings.describe('Readings that are missing in all'),
    inFlight: readings.nullable().describe('Readings on their way; null: not known, as no edge answers'),
    text: z.string().describe('One sentence'),
  })
  .meta({ id: 'LedgerHop' });

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
    unanswered: z.array(z.string()).describe('Whom nothing is known of at the moment, and why'),
  })
  .meta({ id: 'Ledger' });
export type Ledger = z.output<typeof ledger>;
