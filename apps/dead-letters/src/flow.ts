import type { AppContext } from '@weir/lifecycle';
import { startIndexer } from './indexer/indexer.ts';
import { openParts } from './parts.ts';
import { startReplays } from './replay/replays.ts';

/**
 * Dead letters of both brokers → packs in the object store → index → offset or acknowledgement;
 * replays that somebody asked for → plan → Kafka, or the queue of the consumer that gave a letter up.
 */
export async function startFlow(context: AppContext): Promise<void> {
  const parts = await openParts(context);
  await startIndexer(context, parts);
  startReplays(context, parts);
}
