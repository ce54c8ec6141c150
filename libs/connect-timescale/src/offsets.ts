import { WeirError } from '@weir/flow';
import { TABLES } from '@weir/topology';
import type { Position } from '@weir/windows';
import type { Runner } from './database.ts';
import { checkRowVersion } from './row-version.ts';

/** A partition that this process owns since `epoch`. */
export interface Claim {
  readonly epoch: bigint;
  /** Transactions so far. */
  readonly writes: bigint;
  readonly position: Position;
}

/** A partition's move in one transaction. */
export interface Move {
  readonly partition: number;
  readonly epoch: bigint;
  /** Transactions before this one, which tell it from its repetition also when the log did not move. */
  readonly writes: bigint;
  /** `next_offset` as this owner knows it. */
  readonly expected: bigint;
  readonly position: Position;
}

/** Another owner has claimed these partitions, or moved them on. Nothing of the transaction is written. */
export class FencedError extends WeirError {
  readonly partitions: readonly number[];
  constructor(partitions: readonly number[]) {
    super(
      'WEIR_FENCED',
      'transient',
      `writing windows: partition ${partitions.join(', ')} belongs to another aggregator now`,
    );
    this.partitions = partitions;
  }
}

interface OffsetRow {
  readonly partition: number;
  readonly next_offset: string;
  readonly replay_offset: string;
  readonly epoch: string;
  readonly writes: string;
  readonly sources: Record<string, number>;
}

const COLUMNS = 'partition, next_offset, replay_offset, epoch, writes, sources';

/**
 * Takes a partition over: from now on every write of an earlier owner fails. Throws `WEIR_STATE` and changes nothing
 * when the rows have a form that this code does not write.
 */
export async function claimPartition(
  runner: Runner,
  topic: string,
  partition: number,
  owner: string,
): Promise<Claim> {
  await checkRowVersion(runner);
  const [row] = await runner.query<OffsetRow & { next_offset: string }>(
    `claiming partition ${partition}`,
    `INSERT INTO ${TABLES.partitionOffsets} AS o (topic, partition, next_offset, replay_offset, epoch, owner, sources, updated_at)
     VALUES ($1, $2, 0, 0, 1, $3, '{}', now())
     ON CONFLICT (topic, partition) DO UPDATE SET epoch = o.epoch + 1, owner = EXCLUDED.owner, updated_at = now()
     RETURNING ${COLUMNS}`,
    [topic, partition, owner],
  );
  if (row === undefined)
    throw new WeirError('WEIR_STATE', 'fatal', `claiming partition ${partition}: no row came back`);
  return {
    epoch: BigInt(row.epoch),
    writes: BigInt(row.writes),
    position: {
      nextOffset: BigInt(row.next_offset),
      replayOffset: BigInt(row.replay_offset),
      sources: row.sources,
    },
  };
}

/**
 * Compare-and-set on (epoch, writes, next_offset) for every partition of a transaction; first statement of it, so that a
 * replaced owner fails before it writes. Throws `FencedError` naming the partitions that are lost.
 */
export async function movePartitions(runner: Runner, topic: string, moves: readonly Move[]): Promise<void> {
  const moved = await runner.query<{ partition: number }>(
    'moving the offsets of partitions',
    `UPDATE ${TABLES.partitionOffsets} AS o
        SET next_offset = m.next, replay_offset = m.replay, sources = m.sources::jsonb, writes = o.writes + 1,
            updated_at = now()
       FROM unnest($2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[])
            AS m(partition, epoch, expected, next, replay, sources, writes)
      WHERE o.topic = $1 AND o.partition = m.partition AND o.epoch = m.epoch AND o.next_offset = m.expected
        AND o.writes = m.writes
      RETURNING o.partition`,
    [
      topic,
      moves.map((move) => move.partition),
      moves.map((move) => String(move.epoch)),
      moves.map((move) => String(move.expected)),
      moves.map((move) => String(move.position.nextOffset)),
      moves.map((move) => String(move.position.replayOffset)),
      moves.map((move) => JSON.stringify(move.position.sources)),
      moves.map((move) => String(move.writes)),
    ],
  );
  const done = new Set(moved.map(({ partition }) => partition));
  const lost = moves.map(({ partition }) => partition).filter((partition) => !done.has(partition));
  if (lost.length > 0) throw new FencedError(lost);
}

/** Where each partition of a topic stands: the first offset that is not in the windows. */
export async function readNextOffsets(runner: Runner, topic: string): Promise<Map<number, bigint>> {
  const rows = await runner.query<OffsetRow & Record<string, unknown>>(
    'reading the offsets of partitions',
    `SELECT ${COLUMNS} FROM ${TABLES.partitionOffsets} WHERE topic = $1 ORDER BY partition`,
    [topic],
  );
  return new Map(rows.map(({ partition, next_offset }) => [partition, BigInt(next_offset)]));
}

/** Whether these moves are already in the database: asked when the answer to a COMMIT was lost. */
export async function areMoved(runner: Runner, topic: string, moves: readonly Move[]): Promise<boolean> {
  const rows = await runner.query<OffsetRow>(
    'reading the offsets of partitions back',
    `SELECT ${COLUMNS} FROM ${TABLES.partitionOffsets} WHERE topic = $1 AND partition = ANY($2::int[])`,
    [topic, moves.map((move) => move.partition)],
  );
  const known = new Map(rows.map((row) => [row.partition, row]));
  return moves.every(({ partition, epoch, writes, position }) => {
    const row = known.get(partition);
    return (
      row !== undefined &&
      BigInt(row.epoch) === epoch &&
      BigInt(row.writes) === writes + 1n &&
      BigInt(row.next_offset) === position.nextOffset
    );
  });
}

/** Moves a claimed partition to where the log begins, after records that were not folded yet are gone from it. */
export async function resetPartition(
  runner: Runner,
  topic: string,
  partition: number,
  epoch: bigint,
  start: bigint,
): Promise<Position> {
  const [row] = await runner.query<OffsetRow>(
    `resetting partition ${partition}`,
    `UPDATE ${TABLES.partitionOffsets} SET next_offset = $4, replay_offset = $4, updated_at = now()
      WHERE topic = $1 AND partition = $2 AND epoch = $3 RETURNING ${COLUMNS}`,
    [topic, partition, String(epoch), String(start)],
  );
  if (row === undefined) throw new FencedError([partition]);
  return { nextOffset: start, replayOffset: start, sources: row.sources };
}
