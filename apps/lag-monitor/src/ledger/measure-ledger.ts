import type { Admin } from '@weir/connect-kafka';
import { type Database, missingObjects, readLedger } from '@weir/connect-timescale';
import { errorMessage } from '@weir/flow';
import { type Balance, balance, type LiveEdge } from '@weir/ledger';
import { z } from 'zod';

/** An edge answers from memory. */
const EDGE_MS = 1_500;
/** Objects that are shown one by one; nobody misses more of them without noticing. */
const MOST_OBJECTS = 10_000;

const whole = z.number().int().min(0);
const edgeStatus = z.object({
  source: z.string(),
  ledger: z.object({
    ...{ since: whole, taken: whole, counted: whole.nullable(), sent: z.array(whole) },
    ...{ letters: whole, buried: whole, dropped: whole, lost: whole },
  }),
});

export interface MeasureOptions {
  /** Addresses of the edges' admin servers. */
  readonly edges: readonly string[];
  readonly admin: Pick<Admin, 'topicOffsets'>;
  readonly database: Database;
  readonly topic: string;
  readonly bucket: string;
}

export interface Measured {
  readonly balance: Balance;
  /** Epoch milliseconds. */
  readonly began: number;
  readonly unanswered: readonly string[];
}

async function askEdge(base: string): Promise<LiveEdge> {
  const response = await fetch(`${base}/edge/status`, { signal: AbortSignal.timeout(EDGE_MS) });
  if (!response.ok) throw new Error(`it answered ${response.status}`);
  const { source, ledger } = edgeStatus.parse(await response.json());
  return { ...ledger, edge: source };
}

/** Makes a step that balances the ledger once; see `balance` for why it asks in this order. */
export function measureLedger({ edges, admin, database, topic, bucket }: MeasureOptions) {
  return async function measureLedger(): Promise<Measured> {
    const unanswered: string[] = [];
    const answers = await Promise.allSettled(edges.map(askEdge));
    const live = answers.flatMap((answer, i) => {
      if (answer.status === 'fulfilled') return [answer.value];
      unanswered.push(`the edge at ${edges[i]}`);
      return [];
    });
    const ends = await admin.topicOffsets(topic).catch((error: unknown) => {
      unanswered.push(`Kafka (${errorMessage(error)})`);
      return [];
    });
    const stored = await readLedger(database, topic);
    const gone = await missingObjects(database, bucket, MOST_OBJECTS);
    const readToEnd = ends.filter(({ partition, start, end }) => {
      const next = stored.next.get(partition) ?? 0n;
      return (next > start ? next : start) >= end;
    });
    return {
      began: stored.began,
      unanswered,
      balance: balance({
        began: stored.began,
        edges: live,
        readToEnd: new Set(readToEnd.map(({ partition }) => partition)),
        windows: stored.sources,
        missingObjects: gone.map(({ key, readings, lines }) => ({ key, readings: readings ?? lines })),
        acknowledged: stored.acknowledged,
      }),
    };
  };
}
