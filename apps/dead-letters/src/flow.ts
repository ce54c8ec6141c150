import type { AppContext } from '@weir/lifecycle';
import { startIndexer } from './indexer/indexer.ts';
import { openParts } from './parts.ts';

/** Dead letters of both brokers → packs in the object store → index → offset or acknowledgement. */
export async function startFlow(context: AppContext): Promise<void> {
  const parts = await openParts(context);
  await startIndexer(context, parts);
}
