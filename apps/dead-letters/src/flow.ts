import type { AppContext } from '@weir/lifecycle';
import { startIndexer } from './indexer/indexer.ts';
import { openParts } from './parts.ts';
import { startReplays } from './replay/replays.ts';
import { startSweep } from './sweep/sweep.ts';
import { watchDepth } from './watch-depth.ts';

/**
 * Dead letters of both brokers → packs in the object store → index → offset or acknowledgement;
 * replays that somebody asked for → plan → Kafka, or the queue of the consumer that gave a letter up;
 * a sweep that removes what is purged or expired.
 */
export async function startFlow(context: AppContext): Promise<void> {
  const parts = await openParts(context);
  await startIndexer(context, parts);
  startReplays(context, parts);
  startSweep(context, parts);
  watchDepth(context, parts);
}
