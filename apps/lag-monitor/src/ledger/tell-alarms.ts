import { acknowledgeLosses, type Runner, raiseAlerts, readAlerts } from '@weir/connect-timescale';
import type { Book } from './book.ts';
import type { LedgerEvents } from './events.ts';

const RULE = 'ledger-residual';

/**
 * Makes a step that brings the alerts in line with the balance: one for each hop whose residual lasts. Who acknowledges
 * such an alert takes note of what is missing there: it is no residual any more, and the alert ends; what is lost later
 * raises another.
 */
export function tellAlarms(book: Book, events: Pick<LedgerEvents, 'alerted'>) {
  return async function tellAlarms(sql: Runner): Promise<void> {
    if (book.balance === null) return;
    for (const { device: hop, acknowledgedBy } of await readAlerts(sql, 'ledger', 'acknowledged')) {
      const losses = book.balance.losses.filter((loss) => loss.hop === hop);
      await acknowledgeLosses(sql, losses, acknowledgedBy ?? '');
    }
    const wanted = book.alarms.map(({ hop, residual, since, text }) => ({
      ...{ rule: RULE, site: 'weir', device: hop, metric: 'readings', severity: 'critical' as const },
      ...{ labels: { hop, text }, value: residual, threshold: 0, startedAt: new Date(since) },
    }));
    // What has just been found may be over in the next round: an open alert waits until its hop balances.
    const residual = new Set(
      book.balance.hops.filter((hop) => hop.residual > 0).map(({ hop }) => hop as string),
    );
    events.alerted(await raiseAlerts(sql, 'ledger', wanted, ({ device }) => residual.has(device)));
  };
}
