import type { AppContext } from '@weir/lifecycle';
import { openParts } from './parts.ts';

/** Dead letters of both brokers → packs in the object store → index → commit or ack. */
export async function startFlow(context: AppContext): Promise<void> {
  await openParts(context);
}
