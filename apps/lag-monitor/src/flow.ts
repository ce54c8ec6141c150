import type { AppContext } from '@weir/lifecycle';
import { startLag } from './lag/start-lag.ts';
import { openParts } from './parts.ts';
import { watchPressure } from './pressure/index.ts';

/**
 * Every process measures and answers; of several, the one that leads writes history, raises alerts and acts.
 */
export async function startFlow(context: AppContext): Promise<void> {
  const parts = openParts(context);
  startLag(context, parts);
  watchPressure(context);
  parts.lead();
}
