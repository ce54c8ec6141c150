import {
  adoptPositions,
  type CommitPart,
  type Database,
  expireWindows,
  type Lease,
  openScratch,
  type RetentionOptions,
  readNextOffsets,
  type Scratch,
  swapIn,
  swapTables,
} from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { LEVELS, ROLLUP_LEVELS, TABLES } from '@weir/topology';
import type { Counts } from '@weir/windows';
import { type Coverage, type Finding, Replay, type ReplayOptions } from './replay.ts';

export interface RebuildOptions extends Omit<ReplayOptions, 'from' | 'only'> {
  /** The live database. */
  readonly database: Database;
  readonly url: string;
  /** Opens a database for the fold. */
  readonly open: (url: string) => Database;
  /** What is kept beside the windows by the live pipeline. */
  readonly parts: readonly CommitPart[];
  readonly retention: RetentionOptions;
  /** Told why the swap has to wait. */
  readonly waiting: (why: string) => void;
}

export interface RebuildReport {
  readonly coverage: readonly Coverage[];
  readonly findings: readonly Finding[];
  readonly counts: Counts;
  /** How long nothing could be written, milliseconds. */
  readonly heldMs: number;
}

/** Tables that are put in the place of the live ones. */
const REPLACED = [
  ...LEVELS.map(({ table }) => table),
  TABLES.windowsKept,
  ...ROLLUP_LEVELS.map(({ table }) => table),
  TABLES.rollups,
  TABLES.rollupScopes,
  TABLES.derivations,
  TABLES.devices,
];
/** Those that only the fold needs. */
const OWN = [TABLES.partitionOffsets, TABLES.forcedReadings, TABLES.retention, TABLES.maintenance];

/** Records that may be left for the time in which the live pipeline stands still. */
const CLOSE_ENOUGH = 200n;
const ROUNDS = 20;
/** A reader that holds the tables for longer than a lock may be waited for makes the swap wait, not other readers. */
export const SWAP = { lockTimeoutMs: 3_000, attempts: 20 };

/**
 * Makes all windows anew from the archive and the log, beside the live pipeline, and puts them in the place of the
 * old ones in one transaction. Whatever ends it before, the old rows stay. Series keep their keys.
 *
 * Throws `WEIR_STATE` (fatal) when records that the live windows came from are lost, or another rebuild is under way.
 */
export async function rebuild(options: RebuildOptions): Promise<RebuildReport> {
  const { database, url, topic, parts, told } = options;
  const scratch = await openScratch({
    ...{ kind: 'rebuild', live: database, url, storage: 'live', besideLive: true },
    tables: [...REPLACED, ...OWN],
  });
  const signal = AbortSignal.any([options.signal, scratch.lost]);
  const inside = options.open(scratch.url);
  try {
    const replay = await Replay.open({ ...options, from: Number.NEGATIVE_INFINITY, only: null, signal });
    const expire = await expiry(inside, scratch, options.retention);
    await catchUp(replay, inside, database, topic, parts, async () => {
      refuseLost(replay.findings);
      await expire();
    });
    await replay.writeSilent(Date.now());
    for (const { table } of LEVELS) await inside.query('counting the new rows', `ANALYZE ${table}`);
    const heldMs = await swapIn({
      ...{ ...SWAP, url, topic, signal, waiting: options.waiting },
      async catchUp(next) {
        await replay.begin(inside, parts, next.keys());
        await replay.foldTo(next);
        await replay.writeSilent(Date.now());
        refuseLost(replay.findings);
      },
      async replace(transaction) {
        told({ step: 'copying', rows: 0 });
        const { live, schema, old } = scratch;
        await adoptPositions(transaction, live, schema, topic);
        await swapTables(transaction, { live, scratch: schema, old, tables: REPLACED });
      },
    });
    const { coverage, findings, counts } = replay;
    return { coverage: [...coverage.values()], findings, counts, heldMs };
  } catch (error) {
    scratch.lost.throwIfAborted();
    throw error;
  } finally {
    await inside.close();
    await scratch.remove();
  }
}

/** Folds until the live pipeline is almost reached. `between` is called after each partition. */
export async function catchUp(
  replay: Replay,
  inside: Database,
  database: Database,
  topic: string,
  parts: readonly CommitPart[],
  between?: () => Promise<void>,
): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const targets = await readNextOffsets(database, topic);
    await replay.begin(inside, parts, targets.keys());
    await replay.foldTo(targets, between);
    if (behind(targets, await readNextOffsets(database, topic)) <= CLOSE_ENOUGH) return;
  }
}

/** Records between two sets of offsets. */
function behind(folded: ReadonlyMap<number, bigint>, next: ReadonlyMap<number, bigint>): bigint {
  let records = 0n;
  for (const [partition, offset] of next) records += offset - (folded.get(partition) ?? 0n);
  return records;
}

function refuseLost(findings: readonly Finding[]): void {
  const stay = 'The stored windows stay as they are. `weir audit` tells which of them cannot be told.';
  for (const finding of findings) {
    const { kind, partition } = finding;
    if (kind === 'lost') {
      const range = `offsets ${finding.from}–${finding.to - 1n} of partition ${partition}`;
      throw new WeirError(
        'WEIR_STATE',
        'fatal',
        `Neither the archive nor Kafka has ${range}, so a rebuild would lose the windows that they are in. ${stay}`,
      );
    }
    if (kind === 'two-logs') {
      throw new WeirError(
        'WEIR_STATE',
        'fatal',
        `The archive has two different records at offset ${finding.from} of partition ${partition}: the topic was made anew, and a rebuild cannot tell which of its logs comes first. ${stay}`,
      );
    }
  }
}

/** What retention would have dropped is not brought back: it goes as soon as it is made. */
async function expiry(
  inside: Database,
  scratch: Scratch,
  retention: RetentionOptions,
): Promise<() => Promise<void>> {
  const lease: Lease = { job: 'retention', token: 1n, lost: scratch.lost, release: async () => undefined };
  await inside.query(
    'preparing retention of the new windows',
    `INSERT INTO ${TABLES.maintenance} (job, token, holder, held_since) VALUES ($1, 1, 'weir rebuild', now())`,
    [lease.job],
  );
  return () => expireWindows(inside, lease, retention, () => undefined);
}
