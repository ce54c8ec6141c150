import type { Admin, PartitionLag } from '@weir/connect-kafka';
import { queueTotals } from '@weir/connect-rabbitmq';
import {
  type Database,
  missingObjects,
  readLedger,
  readLetterPlaces,
  readQueueLetters,
} from '@weir/connect-timescale';
import { errorMessage } from '@weir/flow';
import { type Balance, balance, type LetterLog, type LiveEdge, openLetters } from '@weir/ledger';
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
  readonly admin: Pick<Admin, 'topicOffsets' | 'groupLag'>;
  readonly database: Database;
  readonly topic: string;
  /** The dead-letter topic, who indexes it, and the queues of dead letters. */
  readonly letters: { readonly topic: string; readonly group: string; readonly queues: readonly string[] };
  readonly rabbitmq: { readonly managementUrl: string; readonly vhost: string };
  readonly bucket: string;
}

export interface Measured {
  readonly balance: Balance;
  /** Epoch milliseconds. */
  readonly began: number;
  readonly unanswered: readonly string[];
  /** Dead letters of queues: in the index, and waiting there; null: RabbitMQ does not say. */
  readonly queueLetters: { readonly taken: number; readonly waiting: number | null };
}

async function askEdge(base: string): Promise<LiveEdge> {
  const response = await fetch(`${base}/edge/status`, { signal: AbortSignal.timeout(EDGE_MS) });
  if (!response.ok) throw new Error(`it answered ${response.status}`);
  const { source, ledger } = edgeStatus.parse(await response.json());
  return { ...ledger, edge: source };
}

/** Makes a step that balances the ledger once; see `balance` for why it asks in this order. */
export function measureLedger(options: MeasureOptions) {
  const { edges, admin, database, topic, letters, rabbitmq, bucket } = options;

  return async function measureLedger(): Promise<Measured> {
    const unanswered: string[] = [];
    const answers = await Promise.allSettled(edges.map(askEdge));
    const live = answers.flatMap((answer, i) => {
      if (answer.status === 'fulfilled') return [answer.value];
      unanswered.push(`the edge at ${edges[i]}`);
      return [];
    });
    const silent = (who: string) => (error: unknown) => {
      unanswered.push(`${who} (${errorMessage(error)})`);
      return null;
    };
    const [ends, letterLogs] = await Promise.all([
      admin.topicOffsets(topic).catch(silent('Kafka')),
      admin.groupLag(letters.group, letters.topic).catch(silent('Kafka about dead letters')),
    ]);
    const waiting = await queueTotals(rabbitmq.managementUrl, rabbitmq.vhost).catch(silent('RabbitMQ'));
    const stored = await readLedger(database, topic);
    const gone = await missingObjects(database, bucket, MOST_OBJECTS);
    const places = await readLetterPlaces(database, letters.topic);
    const taken = await readQueueLetters(database, letters.queues);
    const readToEnd = (ends ?? []).filter(({ partition, start, end }) => {
      const next = stored.next.get(partition) ?? 0n;
      return (next > start ? next : start) >= end;
    });
    return {
      began: stored.began,
      unanswered,
      queueLetters: {
        taken: sumOf(letters.queues.map((queue) => taken.get(queue) ?? 0)),
        waiting: waiting && sumOf(letters.queues.map((queue) => depthOf(waiting.get(queue)))),
      },
      balance: balance({
        began: stored.began,
        edges: live,
        readToEnd: new Set(readToEnd.map(({ partition }) => partition)),
        windows: stored.sources,
        outcomes: stored.outcomes,
        letters: letterLogsOf(places, letterLogs),
        missingObjects: gone.map(({ key, readings, lines }) => ({ key, readings: readings ?? lines })),
        acknowledged: stored.acknowledged,
      }),
    };
  };
}

const sumOf = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);
const depthOf = (queue: { readonly ready: number; readonly unacked: number } | undefined): number =>
  queue === undefined ? 0 : queue.ready + queue.unacked;

/** Where the index is; of a partition whose letters nobody has counted, where it will begin to. */
function letterLogsOf(
  places: readonly Omit<LetterLog, 'log'>[],
  logs: readonly PartitionLag[] | null,
): readonly LetterLog[] {
  if (logs === null) return places.map((place) => ({ ...place, log: null }));
  return logs.map(({ partition, committed, start, end }) => {
    const known = places.find((place) => place.partition === partition) ?? null;
    return { ...openLetters(known, { committed, end }), partition, log: { start, end } };
  });
}
