import { setTimeout as delay } from 'node:timers/promises';
import type { Alert } from '@weir/api';
import {
  alertingVersion,
  answerTest,
  openTests,
  type Runner,
  type Transaction,
} from '@weir/connect-timescale';
import { errorMessage, isTransient, retrying } from '@weir/flow';
import { TABLES } from '@weir/topology';
import type { NotifyEvents } from './events.ts';
import { type Inhibition, inhibitionsAt, type Quiet } from './inhibition.ts';
import type { Lane, LaneState } from './lane.ts';
import {
  type Claimed,
  claimMessages,
  failRemoved,
  firingNow,
  hastenMessages,
  planDeliveries,
  planReminders,
  releaseHeld,
  settleMessages,
} from './outbox.ts';
import { testAlert } from './test-alert.ts';

const TICK_MS = 1_000;
const STOP_MS = 8_000;
/** Every so many ticks: what is held back, reminders, figures. */
const SLOW_TICKS = 5;

export interface NotifyingLane {
  readonly lane: Lane;
  /** Milliseconds after which an alert that fires on is told again; absent: never. */
  readonly repeatMs: number | undefined;
}

export interface NotificationsOptions {
  readonly lanes: readonly NotifyingLane[];
  /** A transaction that commits only while this process is the active one. */
  readonly transaction: <T>(doing: string, work: (transaction: Transaction) => Promise<T>) => Promise<T>;
  /** For what needs no fence. */
  readonly database: Runner;
  /** Reads rules, silences and windows anew, and puts the rules in force. */
  readonly reload: (sql: Runner) => Promise<Quiet>;
  readonly events: NotifyEvents;
  /** Aborts when this process is no longer the active one, or stops. */
  readonly ended: AbortSignal;
  readonly fatal: (doing: string, error: unknown) => void;
}

/** Tells the notifiers of alerts, for as long as this process is the active one. */
export interface Notifications {
  /** Resolves once the rules are in force. */
  readonly ready: Promise<void>;
  /** A change of an alert has been committed: tell of it now. */
  notify(): void;
  /** Ends when nothing is under way any more; what is not sent waits for the next active process. */
  stop(): Promise<void>;
}

/**
 * The ids of messages that are not grouped follow from the change of the alert, which is on disk. What a crash of the
 * database forgets of them is planned and told again under the same id.
 */
const isRepeatable = ({ addressee }: Lane): boolean => addressee.groupBy.length === 0;
const doNotWaitForDisk = (sql: Transaction): Promise<unknown> =>
  sql.query('not waiting for the disk', 'SET LOCAL synchronous_commit TO off');

/**
 * Change of an alert → deliveries, one for each notifier → message → receiver → settled. Each step is in the database
 * before the next begins, so a process that dies anywhere leaves what the next one goes on from; a message in doubt
 * is sent again under its own id.
 */
export function openNotifications(options: NotificationsOptions): Notifications {
  const { lanes, transaction, database, events, fatal } = options;
  const stopping = new AbortController();
  const ended = AbortSignal.any([options.ended, stopping.signal]);
  const addressees = lanes.map(({ lane }) => lane.addressee);
  const underway = new Set<Promise<void>>();
  const shown = new Map<string, LaneState>();
  const refreshed = new Map<Lane, number>();
  let quiet: Quiet = { silences: [], maintenance: [] };
  let version: string | undefined;
  let dirty = false;
  let passing: Promise<void> | undefined;
  const testing = new Set<string>();
  const ready = Promise.withResolvers<void>();

  const inhibitions = (): ((alert: Alert) => Inhibition | undefined) => inhibitionsAt(quiet, Date.now());
  /** Runs beside everything else until it ends; what it throws is a bug. */
  const begin = (doing: string, work: Promise<void>): void => {
    const guarded = work.catch((error: unknown) => {
      if (!ended.aborted && !isTransient(error)) fatal(doing, error);
    });
    underway.add(guarded);
    void guarded.then(() => underway.delete(guarded));
  };
  /** Until the database answers; once more at most when the end has come. */
  const persistent = <T>(work: () => Promise<T>): Promise<T> =>
    ended.aborted
      ? work()
      : retrying(work, { signal: ended, onRetry: (error) => events.databaseAway(error) });

  const settle = async (lane: Lane, attempts: Awaited<ReturnType<Lane['send']>>): Promise<Claimed[]> => {
    const { id } = lane.addressee;
    const now = Date.now();
    const settlements = attempts.map((attempt) => lane.settle(attempt, now));
    const before = shown.get(id);
    const state = lane.state;
    const next = await persistent(() =>
      transaction('recording what became of messages', async (sql) => {
        if (isRepeatable(lane)) await doNotWaitForDisk(sql);
        await settleMessages(sql, settlements);
        const failure = settlements.find(({ outcome }) => outcome.state !== 'sent')?.outcome;
        const error = failure !== undefined && 'error' in failure ? failure.error : null;
        await writeHealth(
          sql,
          id,
          state,
          settlements.some(({ outcome }) => outcome.state === 'sent'),
          error,
        );
        if (before !== undefined && before !== 'healthy' && state === 'healthy')
          await hastenMessages(sql, id);
        const room = lane.room(Date.now());
        return room === 0 ? [] : claimMessages(sql, lane.addressee, room);
      }),
    );
    shown.set(id, state);
    events.settled(id, settlements, state, now);
    return next;
  };

  const run = async (lane: Lane, first: readonly Claimed[]): Promise<void> => {
    lane.busy = true;
    lane.missed = false;
    try {
      for (let messages = first; messages.length > 0 && !ended.aborted; )
        messages = await settle(lane, await lane.send(messages));
    } finally {
      lane.busy = false;
      // What was planned while it was busy, too late for its last look.
      if (lane.missed) notify();
    }
  };

  /** Plans what is new and hands every idle lane what is due. */
  const pass = async (): Promise<void> => {
    const { more, claims } = await transaction('planning notifications', async (sql) => {
      if (lanes.every(({ lane }) => isRepeatable(lane))) await doNotWaitForDisk(sql);
      const more = await planDeliveries(sql, addressees, inhibitions());
      const claims: { lane: Lane; messages: Claimed[] }[] = [];
      for (const { lane } of lanes) {
        const room = lane.busy ? 0 : lane.room(Date.now());
        if (lane.busy) lane.missed = true;
        if (room > 0) claims.push({ lane, messages: await claimMessages(sql, lane.addressee, room) });
      }
      return { more, claims };
    });
    if (more) dirty = true;
    for (const { lane, messages } of claims)
      if (messages.length > 0) begin(`telling ${lane.addressee.id}`, run(lane, messages));
  };

  function notify(): void {
    dirty = true;
    if (ended.aborted) return;
    passing ??= (async () => {
      try {
        while (dirty && !ended.aborted) {
          dirty = false;
          await pass();
        }
      } catch (error) {
        // The next tick tries again.
        if (!isTransient(error)) fatal('planning notifications', error);
        else if (!ended.aborted) events.databaseAway(error);
      } finally {
        passing = undefined;
      }
    })();
  }

  const answerTests = async (): Promise<void> => {
    for (const { id, notifier } of await openTests(database)) {
      if (testing.has(id)) continue;
      testing.add(id);
      const lane = lanes.find(({ lane: { addressee } }) => addressee.id === notifier)?.lane;
      begin(
        'testing a notifier',
        (async () => {
          const started = performance.now();
          const answer = await (lane === undefined
            ? Promise.reject(new Error(`the active alerter has no notifier "${notifier}"; restart it`))
            : lane.sendAside(testAlert(id))
          ).then(
            (said) => ({ ok: true, said }),
            (error: unknown) => ({ ok: false, said: errorMessage(error) }),
          );
          await answerTest(database, id, { ...answer, tookMs: performance.now() - started });
          testing.delete(id);
        })(),
      );
    }
  };

  const refresh = (): void => {
    for (const { lane } of lanes) {
      const { refreshMs } = lane.destination;
      if (refreshMs === undefined || lane.room(Date.now()) === 0) continue;
      if (Date.now() - (refreshed.get(lane) ?? Number.NEGATIVE_INFINITY) < refreshMs) continue;
      refreshed.set(lane, Date.now());
      begin(
        `telling ${lane.addressee.id} again of what fires`,
        (async () => {
          const alerts = await transaction('reading what fires', (sql) =>
            firingNow(sql, lane.addressee.id, inhibitions()),
          );
          for (let from = 0; from < alerts.length; from += lane.destination.atATime) {
            const part = alerts.slice(from, from + lane.destination.atATime);
            await lane.sendAside({ id: 'refresh', group: null, alerts: part, test: false });
          }
        })().catch((error: unknown) => events.refreshFailed(lane.addressee.id, error)),
      );
    }
  };

  const tick = async (count: number): Promise<void> => {
    const found = await alertingVersion(database);
    const changed = found !== version;
    if (changed) {
      quiet = await options.reload(database);
      version = found;
      ready.resolve();
    }
    await answerTests();
    refresh();
    if (!changed && count % SLOW_TICKS !== 0) return;
    await transaction('looking after alerts that fire', async (sql) => {
      const inhibit = inhibitions();
      await releaseHeld(sql, inhibit);
      for (const { lane, repeatMs } of lanes)
        if (repeatMs !== undefined) await planReminders(sql, lane.addressee, repeatMs, inhibit);
    });
    await showWaiting(database, lanes, events);
  };

  const ticking = (async () => {
    const removed = await persistent(() =>
      transaction('giving up messages of removed notifiers', (sql) =>
        failRemoved(
          sql,
          addressees.map(({ id }) => id),
        ),
      ),
    );
    events.removedNotifiers(removed);
    for (let count = 0; !ended.aborted; count++) {
      try {
        await tick(count);
      } catch (error) {
        if (ended.aborted) return;
        if (!isTransient(error)) throw error;
        events.databaseAway(error);
      }
      notify();
      await delay(TICK_MS, undefined, { signal: ended }).catch(() => undefined);
    }
  })();
  begin('notifying', ticking);

  ended.addEventListener('abort', () => ready.resolve(), { once: true });
  return {
    ready: ready.promise,
    notify,
    stop: async () => {
      stopping.abort();
      const settled = async (): Promise<void> => {
        await passing;
        while (underway.size > 0) await Promise.all(underway);
      };
      // A receiver that never answers must not hold up the stop: the message is sent again by the next active process.
      await Promise.race([settled(), delay(STOP_MS, undefined, { ref: false })]);
    },
  };
}

async function writeHealth(
  sql: Transaction,
  notifier: string,
  state: LaneState,
  sent: boolean,
  error: string | null,
): Promise<void> {
  await sql.query(
    'recording how a notifier is doing',
    `INSERT INTO ${TABLES.notifierHealth} AS h (notifier, state, last_sent_at, last_error, last_error_at)
     VALUES ($1, $2, CASE WHEN $3 THEN clock_timestamp() END, $4, CASE WHEN $4::text IS NULL THEN NULL ELSE clock_timestamp() END)
     ON CONFLICT (notifier) DO UPDATE
        SET state = excluded.state, last_sent_at = coalesce(excluded.last_sent_at, h.last_sent_at),
            last_error = coalesce(excluded.last_error, h.last_error),
            last_error_at = coalesce(excluded.last_error_at, h.last_error_at)`,
    [notifier, state, sent, error],
  );
}

async function showWaiting(
  sql: Runner,
  lanes: readonly NotifyingLane[],
  events: NotifyEvents,
): Promise<void> {
  const rows = await sql.query<{ notifier: string; state: string; count: number }>(
    'counting what waits',
    `SELECT notifier, state, count(*)::int AS count FROM ${TABLES.alertDeliveries}
      WHERE state IN ('queued', 'held') GROUP BY notifier, state`,
  );
  for (const { lane } of lanes) {
    const { id } = lane.addressee;
    const count = (state: string): number =>
      rows.find((row) => row.notifier === id && row.state === state)?.count ?? 0;
    events.waiting(id, count('queued'), count('held'));
  }
}
