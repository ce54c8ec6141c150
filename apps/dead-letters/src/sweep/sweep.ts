import { setTimeout as delay } from 'node:timers/promises';
import { acquireLease, fenced, type Lease } from '@weir/connect-timescale';
import { expireRows, packsBefore, packsToClear, tidyLetters, unnamedPacks } from '@weir/dead-letters';
import type { AppContext } from '@weir/lifecycle';
import { PACK_PREFIX } from '@weir/topology';
import type { Parts } from '../parts.ts';
import { clearPack, type Doomed } from './clear-pack.ts';
import { type SweepEvents, sweepEvents } from './events.ts';

/** Purged bytes are looked for this often. */
const PURGE_MS = 5_000;
/** Packs and orphans of one look. */
const PACKS = 200;
/** A pack without rows is one whose rows are not written yet, or never will be; see `indexLetters`. */
const ORPHAN_MS = 24 * 3_600_000;
const ACTOR = 'weir dead-letters';

const purged: Doomed = ({ status }) => status === 'purged';
const all: Doomed = () => true;

/**
 * Removes in one process of all, until the app stops: the bytes of purged letters, and what is older than its retention.
 * Errors are told and tried again; they never end the process.
 */
export function startSweep(context: AppContext, parts: Parts): void {
  const { config, log, metrics, stopping } = context;
  const events = sweepEvents(log, metrics);
  const running = sweepUntil(stopping, context, parts, config.retention.interval, events);
  context.onStop('settle', 'sweep', () => running);
}

async function sweepUntil(
  signal: AbortSignal,
  { config, name }: AppContext,
  parts: Parts,
  intervalMs: number,
  events: SweepEvents,
): Promise<void> {
  let lease: Lease | null = null;
  let nextRound = 0;
  while (!signal.aborted) {
    try {
      lease ??= await acquireLease(config.timescale.url, 'sweep', `${name} ${process.pid}`);
      if (lease !== null) {
        const ending = AbortSignal.any([signal, lease.lost]);
        await clearPurged(parts, lease, events, ending);
        if (performance.now() >= nextRound) {
          await expire(parts, lease, config.retention, events, ending);
          nextRound = performance.now() + intervalMs;
        }
      }
    } catch (error) {
      events.failed(error);
    }
    await delay(PURGE_MS, undefined, { signal }).catch(() => undefined);
    if (lease?.lost.aborted === true) {
      await lease.release();
      lease = null;
    }
  }
  await lease?.release();
}

async function clearPurged(
  parts: Parts,
  lease: Lease,
  events: SweepEvents,
  signal: AbortSignal,
): Promise<void> {
  for (const object of await packsToClear(parts.database, PACKS)) {
    if (signal.aborted) return;
    events.cleared('purged', await clearPack(parts, lease, object, purged));
  }
}

async function expire(
  parts: Parts,
  lease: Lease,
  retention: AppContext['config']['retention'],
  events: SweepEvents,
  signal: AbortSignal,
): Promise<void> {
  const { database, store, bucket } = parts;
  const { deadLetterBytes, deadLetterIndex } = retention;
  if (Number.isFinite(deadLetterBytes)) {
    // A pack holds letters of one day: it goes when the last of them is old enough.
    for (const object of await packsBefore(database, new Date(Date.now() - deadLetterBytes), PACKS)) {
      if (signal.aborted) return;
      events.cleared('expired', await clearPack(parts, lease, object, all));
    }
  }
  if (Number.isFinite(deadLetterIndex)) {
    const before = new Date(Date.now() - deadLetterIndex);
    for (let removed = 1; removed > 0 && !signal.aborted; ) {
      removed = await fenced(database, lease, 'removing expired dead letters', (transaction) =>
        expireRows(transaction, before, ACTOR, 'retention.deadLetterIndex'),
      );
      events.rowsExpired(removed);
    }
  }
  await fenced(database, lease, 'tidying what dead letters left behind', tidyLetters);
  let batch: string[] = [];
  const removeOrphans = async (): Promise<void> => {
    const orphans = await unnamedPacks(database, batch);
    await store.remove(bucket, orphans);
    events.orphansRemoved(orphans.length);
    batch = [];
  };
  for await (const { key, storedAt } of store.list(bucket, PACK_PREFIX)) {
    if (signal.aborted) return;
    if (Date.now() - storedAt.getTime() > ORPHAN_MS) batch.push(key);
    if (batch.length >= PACKS) await removeOrphans();
  }
  if (batch.length > 0) await removeOrphans();
}
