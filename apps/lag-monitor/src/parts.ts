import { once } from 'node:events';
import { hostname } from 'node:os';
import { type Database, type Leadership, openDatabase, standForLeader } from '@weir/connect-timescale';
import type { AppContext } from '@weir/lifecycle';
import { MonitorEvents } from './events.ts';

/** Acts for as long as this process leads: until `ended` aborts. A rejection ends the process. */
export type Act = (leadership: Leadership) => Promise<void>;

const untilEnd: Act = async ({ ended }) => {
  if (!ended.aborted) await once(ended, 'abort');
};

/** What the three watchers share. */
export interface Parts {
  readonly database: Database;
  /** Registers what only the process that leads may do; before `lead`. */
  whileLeading(act: Act): void;
  /** Begins to stand for leader, until the stop. */
  lead(): void;
}

export function openParts(context: AppContext): Parts {
  const { config, log, metrics, stopping } = context;
  const events = new MonitorEvents(log, metrics);
  const acts: Act[] = [];
  const database = openDatabase({
    url: config.timescale.url,
    poolSize: Math.min(4, config.timescale.poolSize),
    statementTimeoutMs: config.timescale.statementTimeout,
    idleInTransactionMs: 4_000,
    name: 'weir lag-monitor',
    log,
  });
  context.onStop('close', 'database', database.close);

  const actAll = async (leadership: Leadership): Promise<void> => {
    // What one of them cannot mend ends all of them.
    const over = new AbortController();
    const ended = AbortSignal.any([leadership.ended, over.signal]);
    const run = (act: Act): Promise<void> =>
      act({ ...leadership, ended }).catch((error: unknown) => {
        over.abort();
        throw error;
      });
    const results = await Promise.allSettled([...acts, untilEnd].map(run));
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  };
  return {
    database,
    whileLeading: (act) => void acts.push(act),
    lead() {
      const holder = `${hostname()}/${process.pid}`;
      const { url } = config.timescale;
      const leading = standForLeader({
        ...{ job: 'lag-monitor', url, database, holder, events, stopping },
        lead: actAll,
      }).catch((error: unknown) => context.fatal('acting as the leading lag monitor', error));
      context.onStop('settle', 'what the leading lag monitor does', () => leading);
    },
  };
}
