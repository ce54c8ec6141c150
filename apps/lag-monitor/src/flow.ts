import type { AppContext } from '@weir/lifecycle';
import { busyOf } from './lag/busy-of.ts';
import { startLag } from './lag/start-lag.ts';
import { startLedger } from './ledger/start-ledger.ts';
import { openParts } from './parts.ts';
import { watchPressure } from './pressure/index.ts';

/**
 * Every process measures and answers; of several, the one that leads writes history, raises alerts and acts.
 */
export async function startFlow(context: AppContext): Promise<void> {
  const parts = openParts(context);
  const pressure = watchPressure(context);
  startLag(
    context,
    parts,
    busyOf(context.config.namespace, () => pressure.current),
  );
  startLedger(context, parts, pressure);
  parts.lead();
}
