import { parseSent, Received, type Source } from '@weir/ledger';
import { TABLES } from '@weir/topology';
import type { PartitionState } from '@weir/windows';
import type { CommitPart, PartOfPartition } from './commit-part.ts';
import type { Database, Runner, Transaction } from './database.ts';
import { readNextOffsets } from './offsets.ts';

/** What one partition hands to one transaction. */
interface SourcesHandout {
  readonly partition: number;
  readonly sources: readonly Source[];
  readonly outcomes: Outcomes;
}

/** What became of readings that came into the windows. */
export interface Outcomes {
  readonly stored: number;
  readonly duplicates: number;
  /** Late readings, and lines that cannot be read. */
  readonly deadLettered: number;
}

class PartitionSources implements PartOfPartition<SourcesHandout> {
  private readonly partition: number;
  readonly received: Received;
  private readonly state: Pick<PartitionState, 'counted'>;

  constructor(partition: number, received: Received, state: Pick<PartitionState, 'counted'>) {
    this.partition = partition;
    this.received = received;
    this.state = state;
  }
  collect(): SourcesHandout | null {
    const sources = this.received.takeChanged();
    const { stored, duplicate, late, undecodable } = this.state.counted;
    const outcomes = { stored, duplicates: duplicate, deadLettered: late + undecodable };
    const isQuiet = sources.length === 0 && stored + duplicate + late + undecodable === 0;
    return isQuiet ? null : { partition: this.partition, sources, outcomes };
  }
}

export interface LedgerPart extends CommitPart<SourcesHandout, PartitionSources> {
  /**
   * Takes the header `weir-sent` of a record that is folded for the first time, in the order of the log. Returns the
   * readings that are missing before it; null: the record says nothing.
   */
  take(partition: number, header: string | undefined, offset: bigint): number | null;
}

/** What each edge has sent of a partition against what came of it, moved with the windows. */
export function ledgerPart(topic: string): LedgerPart {
  const open = new Map<number, PartitionSources>();
  return {
    name: 'the ledger',
    async open(runner: Runner, partition: number, state: PartitionState): Promise<PartitionSources> {
      const began = await ledgerBegan(runner);
      const part = new PartitionSources(
        partition,
        new Received(began, await readSources(runner, topic, partition)),
        state,
      );
      open.set(partition, part);
      return part;
    },
    take(partition, header, offset) {
      const sent = header === undefined ? null : parseSent(header);
      if (sent === null) return null;
      return open.get(partition)?.received.take(sent, offset) ?? null;
    },
    async write(transaction: Transaction, handouts: readonly SourcesHandout[]): Promise<void> {
      const rows = handouts.flatMap(({ partition, sources }) =>
        sources.map((source) => ({ partition, ...source })),
      );
      const outcomes = handouts.map(({ partition, outcomes }) => ({ partition, ...outcomes }));
      await transaction.query(
        'writing the ledger',
        `WITH outcomes AS (
           INSERT INTO ${TABLES.ledgerOutcomes} AS o (topic, partition, stored, duplicates, dead_lettered)
           SELECT $1, r.partition, r.stored, r.duplicates, r."deadLettered"
             FROM jsonb_to_recordset($3::jsonb) AS r (partition int, stored bigint, duplicates bigint, "deadLettered" bigint)
           ON CONFLICT (topic, partition) DO UPDATE SET stored = o.stored + EXCLUDED.stored,
             duplicates = o.duplicates + EXCLUDED.duplicates, dead_lettered = o.dead_lettered + EXCLUDED.dead_lettered)
         INSERT INTO ${TABLES.ledgerSources} AS s
           (topic, partition, edge, since, through, letters, buried, dropped, lost, lost_before, missing, holes, updated_at)
         SELECT $1, r.partition, r.edge, r.since, r.through, r.letters, r.buried, r.dropped, r.lost, r."lostBefore",
                r.missing, r.holes, now()
           FROM jsonb_to_recordset($2::jsonb) AS r (partition int, edge text, since bigint, through bigint,
                letters bigint, buried bigint, dropped bigint, lost bigint, "lostBefore" bigint, missing bigint, holes jsonb)
         ON CONFLICT (topic, partition, edge) DO UPDATE SET
           since = EXCLUDED.since, through = EXCLUDED.through, letters = EXCLUDED.letters, buried = EXCLUDED.buried,
           dropped = EXCLUDED.dropped, lost = EXCLUDED.lost, lost_before = EXCLUDED.lost_before,
           missing = EXCLUDED.missing, holes = EXCLUDED.holes, updated_at = EXCLUDED.updated_at`,
        [topic, JSON.stringify(rows), JSON.stringify(outcomes)],
      );
    },
  };
}

/** When the ledger of this database began, epoch milliseconds. */
async function ledgerBegan(runner: Runner): Promise<number> {
  const [row] = await runner.query<{ began_at: Date }>(
    'reading when the ledger began',
    `SELECT began_at FROM ${TABLES.ledger}`,
  );
  return row?.began_at.getTime() ?? Number.POSITIVE_INFINITY;
}

/** A source and its partition, as stored. */
export interface StoredSource extends Source {
  readonly partition: number;
}

/** The sources of a topic; of one partition when it is named. */
export async function readSources(
  runner: Runner,
  topic: string,
  partition: number | null = null,
): Promise<StoredSource[]> {
  const rows = await runner.query<{ source: StoredSource }>(
    'reading the ledger',
    `SELECT jsonb_build_object('partition', partition, 'edge', edge, 'since', since, 'through', through,
              'letters', letters, 'buried', buried, 'dropped', dropped, 'lost', lost, 'lostBefore', lost_before,
              'missing', missing, 'holes', holes) AS source
       FROM ${TABLES.ledgerSources} WHERE topic = $1 AND ($2::int IS NULL OR partition = $2)
      ORDER BY edge, partition`,
    [topic, partition],
  );
  return rows.map(({ source }) => source);
}

/** What the balance is made of, as of one moment. */
export interface StoredLedger {
  /** Epoch milliseconds. */
  readonly began: number;
  readonly sources: readonly StoredSource[];
  /** By partition, the first offset that is not in the windows. */
  readonly next: ReadonlyMap<number, bigint>;
  readonly acknowledged: ReadonlyMap<string, number>;
  /** Over all partitions; null before the first. */
  readonly outcomes: Outcomes | null;
}

/** Reads sources and offsets as of one transaction: the offsets say what the sources have come to. */
export async function readLedger(database: Database, topic: string): Promise<StoredLedger> {
  return database.transaction('reading the ledger', async (transaction) => {
    await transaction.query(
      'reading the ledger',
      'SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY',
    );
    const sources = await readSources(transaction, topic);
    const acknowledged = await transaction.query<{ loss: string; readings: string }>(
      'reading what was taken note of',
      `SELECT loss, readings FROM ${TABLES.ledgerAcknowledged}`,
    );
    return {
      began: await ledgerBegan(transaction),
      sources,
      next: await readNextOffsets(transaction, topic),
      outcomes: await readOutcomes(transaction, topic),
      acknowledged: new Map(acknowledged.map(({ loss, readings }) => [loss, Number(readings)])),
    };
  });
}

async function readOutcomes(runner: Runner, topic: string): Promise<Outcomes | null> {
  const [row] = await runner.query<Record<keyof Outcomes, string | null>>(
    'reading what became of readings',
    `SELECT sum(stored) AS stored, sum(duplicates) AS duplicates, sum(dead_lettered) AS "deadLettered"
       FROM ${TABLES.ledgerOutcomes} WHERE topic = $1`,
    [topic],
  );
  if (row === undefined || row.stored === null) return null;
  const { stored, duplicates, deadLettered } = row;
  return { stored: Number(stored), duplicates: Number(duplicates), deadLettered: Number(deadLettered) };
}

/** Takes note of losses, in the caller's transaction: so many readings of them are no residual any more. */
export async function acknowledgeLosses(
  runner: Runner,
  losses: readonly { readonly id: string; readonly readings: number }[],
  by: string,
): Promise<void> {
  await runner.query(
    'taking note of losses',
    `INSERT INTO ${TABLES.ledgerAcknowledged} AS a (loss, readings, by)
     SELECT loss, readings, $3 FROM unnest($1::text[], $2::bigint[]) AS l (loss, readings)
     ON CONFLICT (loss) DO UPDATE SET readings = greatest(a.readings, EXCLUDED.readings), at = now(), by = EXCLUDED.by`,
    [losses.map(({ id }) => id), losses.map(({ readings }) => readings), by],
  );
}
