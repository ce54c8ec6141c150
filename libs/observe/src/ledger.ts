import type { Counter } from 'prom-client';
import type { Metrics } from './metrics.ts';

/**
 * The counter of the ledger, one for all parts of an app: readings by the hop that they came to and what became of
 * them there. `outcome` is stored, duplicate, dead_lettered, dropped, replayed or lost; `reason` is from a closed list.
 */
export function ledgerCounter(metrics: Metrics): Counter<'hop' | 'outcome' | 'reason'> {
  return metrics.counter(
    'weir_ledger_readings_total',
    'Readings by what became of them; of what could not be decoded, and in the archive, lines',
    ['hop', 'outcome', 'reason'],
  );
}
