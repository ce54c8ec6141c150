import type { Alert } from '@weir/api';
import type { Transaction } from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';
import type { Inhibition } from './inhibition.ts';
import { groupOf, type Message, type Told, toldId } from './message.ts';
import { type Change, type DeliveryState, planDelivery } from './plan.ts';

const AT_A_TIME = 500;
/** Changes of alerts in one message of a group. */
const IN_A_MESSAGE = 200;

/** A notifier as the plan sees it. */
export interface Addressee {
  readonly id: string;
  wants(alert: Alert): boolean;
  readonly groupBy: readonly string[];
  /** Milliseconds for which the first change of a group waits for others. */
  readonly groupWaitMs: number;
  /** True for the exchange: it tells of every change, whatever is silenced. */
  readonly unfiltered: boolean;
}

interface TransitionRow {
  readonly seq: string;
  readonly alert_id: string;
  readonly state: Change;
  readonly alert: Alert;
  readonly suppressed: boolean;
}
interface Row {
  readonly transition: TransitionRow;
  readonly notifier: string;
  readonly state: DeliveryState;
  readonly reason: string | null;
  readonly cause: string | null;
  readonly group: string | null;
  readonly message: string | null;
  readonly waitMs: number;
}

/** What each notifier was last told of an alert's beginning, by alert and notifier. */
type Announced = Map<string, DeliveryState>;
const announcedKey = (alert: string, notifier: string): string => `${alert} ${notifier}`;

async function readAnnounced(sql: Transaction, alerts: readonly string[]): Promise<Announced> {
  const rows = await sql.query<{ alert_id: string; notifier: string; state: DeliveryState }>(
    'reading what notifiers were told',
    `SELECT DISTINCT ON (alert_id, notifier) alert_id, notifier, state FROM ${TABLES.alertDeliveries}
      WHERE alert_id = ANY($1::uuid[]) AND change = 'firing' AND repeat = 0
      ORDER BY alert_id, notifier, id DESC`,
    [alerts],
  );
  return new Map(rows.map(({ alert_id, notifier, state }) => [announcedKey(alert_id, notifier), state]));
}

function planRow(
  transition: TransitionRow,
  addressee: Addressee,
  announced: Announced,
  inhibit: (alert: Alert) => Inhibition | undefined,
): Row | undefined {
  const { alert, state: change, suppressed } = transition;
  const group = groupOf(addressee.groupBy, alert) ?? null;
  const row = {
    transition,
    notifier: addressee.id,
    group,
    message: group === null ? toldId(alert.id, change, 0) : null,
  };
  if (addressee.unfiltered) {
    // Should it be told of after all, that is another message.
    const message = suppressed ? `${alert.id}/${change}/suppressed` : row.message;
    return { ...row, message, state: 'queued', reason: null, cause: null, waitMs: 0 };
  }
  if (!addressee.wants(alert)) return undefined;
  const key = announcedKey(alert.id, addressee.id);
  if (suppressed) {
    if (change === 'firing') announced.set(key, 'dropped');
    return { ...row, state: 'dropped', reason: 'suppressed', cause: alert.suppressedBy, waitMs: 0 };
  }
  const planned = planDelivery(change, {
    announced: announced.get(key),
    inhibition: inhibit(alert),
    waitMs: group === null ? 0 : addressee.groupWaitMs,
  });
  if (planned === undefined) return undefined;
  if (change === 'firing') announced.set(key, planned.state);
  return { ...row, ...planned, reason: planned.reason ?? null, cause: planned.cause ?? null };
}

async function insertRows(sql: Transaction, rows: readonly Row[]): Promise<void> {
  if (rows.length === 0) return;
  await sql.query(
    'planning notifications',
    `INSERT INTO ${TABLES.alertDeliveries} (seq, alert_id, notifier, change, state, reason, cause, group_key, message,
                                            next_at, settled_at)
     SELECT seq, alert_id, notifier, change, state, reason, cause, group_key, message,
            clock_timestamp() + wait * interval '1 millisecond',
            CASE WHEN state = 'dropped' THEN clock_timestamp() END
       FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                   $9::text[], $10::float8[])
            AS t (seq, alert_id, notifier, change, state, reason, cause, group_key, message, wait)`,
    [
      rows.map(({ transition }) => transition.seq),
      rows.map(({ transition }) => transition.alert_id),
      rows.map(({ notifier }) => notifier),
      rows.map(({ transition }) => transition.state),
      rows.map(({ state }) => state),
      rows.map(({ reason }) => reason),
      rows.map(({ cause }) => cause),
      rows.map(({ group }) => group),
      rows.map(({ message }) => message),
      rows.map(({ waitMs }) => waitMs),
    ],
  );
}

/** Gives the next changes of alerts their deliveries, in the order of the changes. Returns whether there are more. */
export async function planDeliveries(
  sql: Transaction,
  addressees: readonly Addressee[],
  inhibit: (alert: Alert) => Inhibition | undefined,
): Promise<boolean> {
  const transitions = await sql.query<TransitionRow & Record<string, unknown>>(
    'reading changes of alerts',
    `SELECT seq::text, alert_id, state, alert, suppressed FROM ${TABLES.alertTransitions}
      WHERE seq > (SELECT seq FROM ${TABLES.alertDeliveriesPlanned}) ORDER BY alert_transitions.seq LIMIT $1`,
    [AT_A_TIME],
  );
  const last = transitions.at(-1);
  if (last === undefined) return false;
  const ended = [
    ...new Set(transitions.flatMap(({ state, alert_id }) => (state === 'firing' ? [] : [alert_id]))),
  ];
  const announced = ended.length === 0 ? new Map() : await readAnnounced(sql, ended);
  await insertRows(
    sql,
    transitions.flatMap((transition) =>
      addressees.flatMap((addressee) => planRow(transition, addressee, announced, inhibit) ?? []),
    ),
  );
  if (ended.length > 0) {
    await sql.query(
      'dropping what was held back',
      `UPDATE ${TABLES.alertDeliveries} SET state = 'dropped', settled_at = clock_timestamp()
        WHERE alert_id = ANY($1::uuid[]) AND state = 'held'`,
      [ended],
    );
  }
  await sql.query('recording what is planned', `UPDATE ${TABLES.alertDeliveriesPlanned} SET seq = $1`, [
    last.seq,
  ]);
  return transitions.length === AT_A_TIME;
}

/** A message whose attempt has begun. */
export interface Claimed extends Message {
  /** Of its deliveries. */
  readonly rows: readonly string[];
  /** Attempts begun, this one included. */
  readonly attempts: number;
  /** Epoch milliseconds of its first change. */
  readonly since: number;
}

interface ClaimedRow {
  readonly id: string;
  readonly message: string;
  readonly group_key: string | null;
  readonly change: Change;
  readonly repeat: number;
  readonly attempts: number;
  readonly alert: Alert;
  readonly at: Date;
}

/** Changes that wait for their group get a message, once the first of them has waited long enough. */
async function formGroups(sql: Transaction, notifier: string): Promise<void> {
  await sql.query(
    'forming messages of groups',
    `UPDATE ${TABLES.alertDeliveries} AS d SET message = g.message, next_at = clock_timestamp()
       FROM (SELECT id, 'group/' || first || '/' || (n - 1) / $2::int AS message
               FROM (SELECT id, min(id) OVER same AS first, min(next_at) OVER same AS due,
                            row_number() OVER (same ORDER BY id) AS n
                       FROM ${TABLES.alertDeliveries} WHERE notifier = $1 AND state = 'queued' AND message IS NULL
                     WINDOW same AS (PARTITION BY group_key)) waiting
              WHERE due <= clock_timestamp()) g
      WHERE d.id = g.id`,
    [notifier, IN_A_MESSAGE],
  );
}

/**
 * Takes up to `limit` messages that are due, the oldest first, and counts an attempt for each. A message waits while an
 * earlier one about one of its alerts is not settled: nobody hears of an end before the beginning.
 */
export async function claimMessages(
  sql: Transaction,
  { id, groupBy }: Addressee,
  limit: number,
): Promise<Claimed[]> {
  if (groupBy.length > 0) await formGroups(sql, id);
  const rows = await sql.query<ClaimedRow & Record<string, unknown>>(
    'taking messages that are due',
    `WITH due AS (
       SELECT message FROM (
         SELECT id, message, alert_id, next_at FROM ${TABLES.alertDeliveries}
          WHERE notifier = $1 AND state = 'queued' AND message IS NOT NULL AND next_at <= clock_timestamp()
          ORDER BY next_at, id LIMIT $2 * ${IN_A_MESSAGE}) d
        GROUP BY message
       HAVING bool_and(NOT EXISTS (
                SELECT 1 FROM ${TABLES.alertDeliveries} e
                 WHERE e.notifier = $1 AND e.alert_id = d.alert_id AND e.state = 'queued' AND e.id < d.id
                   AND e.message IS DISTINCT FROM d.message))
        ORDER BY min(id) LIMIT $2)
     UPDATE ${TABLES.alertDeliveries} AS d SET attempts = attempts + 1
       FROM due, ${TABLES.alertTransitions} t
      WHERE d.notifier = $1 AND d.state = 'queued' AND d.message = due.message AND t.seq = d.seq
     RETURNING d.id::text, d.message, d.group_key, d.change, d.repeat, d.attempts, t.alert, t.at`,
    [id, limit],
  );
  const messages = Map.groupBy(
    rows.toSorted((a, b) => (BigInt(a.id) < BigInt(b.id) ? -1 : 1)),
    ({ message }) => message,
  );
  return [...messages].map(([message, [first, ...others]]) => claimed(message, first as ClaimedRow, others));
}

function claimed(id: string, first: ClaimedRow, others: readonly ClaimedRow[]): Claimed {
  const rows = [first, ...others];
  const told = ({ alert, change, repeat }: ClaimedRow): Told => ({
    ...{ id: toldId(alert.id, change, repeat), change, repeat, alert },
  });
  return {
    id,
    group: first.group_key === null ? null : JSON.parse(first.group_key),
    alerts: rows.map(told),
    test: false,
    rows: rows.map((row) => row.id),
    attempts: first.attempts,
    since: first.at.getTime(),
  };
}

/** What an attempt came to. */
export interface Settlement {
  readonly message: Claimed;
  readonly outcome:
    | { readonly state: 'sent' }
    | { readonly state: 'failed'; readonly reason: 'refused' | 'expired'; readonly error: string }
    | { readonly state: 'queued'; readonly waitMs: number; readonly error: string };
}

export async function settleMessages(sql: Transaction, settlements: readonly Settlement[]): Promise<void> {
  const rows = settlements.flatMap(({ message, outcome }) =>
    message.rows.map((id) => ({
      id,
      state: outcome.state,
      reason: outcome.state === 'failed' ? outcome.reason : null,
      error: outcome.state === 'sent' ? null : outcome.error,
      waitMs: outcome.state === 'queued' ? outcome.waitMs : null,
    })),
  );
  await sql.query(
    'recording what became of messages',
    `UPDATE ${TABLES.alertDeliveries} AS d
        SET state = s.state, reason = s.reason, last_error = coalesce(s.error, d.last_error),
            next_at = coalesce(clock_timestamp() + s.wait * interval '1 millisecond', d.next_at),
            settled_at = CASE WHEN s.state = 'queued' THEN NULL ELSE clock_timestamp() END
       FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::float8[]) AS s (id, state, reason, error, wait)
      WHERE d.id = s.id`,
    [
      rows.map(({ id }) => id),
      rows.map(({ state }) => state),
      rows.map(({ reason }) => reason),
      rows.map(({ error }) => error),
      rows.map(({ waitMs }) => waitMs),
    ],
  );
}

/** The receiver answers again: what waits for its next attempt need not wait any longer. */
export async function hastenMessages(sql: Transaction, notifier: string): Promise<void> {
  await sql.query(
    'hastening messages',
    `UPDATE ${TABLES.alertDeliveries} SET next_at = clock_timestamp()
      WHERE notifier = $1 AND state = 'queued' AND attempts > 0 AND next_at > clock_timestamp()`,
    [notifier],
  );
}

/** What notifiers that are no longer configured were to be told. */
export async function failRemoved(sql: Transaction, notifiers: readonly string[]): Promise<number> {
  const rows = await sql.query(
    'giving up messages of removed notifiers',
    `UPDATE ${TABLES.alertDeliveries} SET state = 'failed', reason = 'removed', settled_at = clock_timestamp()
      WHERE state IN ('queued', 'held') AND notifier <> ALL($1::text[]) RETURNING id`,
    [notifiers],
  );
  return rows.length;
}

interface OpenRow {
  readonly id: string;
  readonly seq: string;
  readonly alert: Alert;
  readonly state: Alert['state'];
}

/** Lets go of what was held back and is not silenced any more. */
export async function releaseHeld(
  sql: Transaction,
  inhibit: (alert: Alert) => Inhibition | undefined,
): Promise<void> {
  const held = await sql.query<OpenRow & Record<string, unknown>>(
    'reading what is held back',
    `SELECT d.id::text, t.alert, a.state
       FROM ${TABLES.alertDeliveries} d JOIN ${TABLES.alertTransitions} t USING (seq)
       JOIN ${TABLES.alerts} a ON a.id = d.alert_id
      WHERE d.state = 'held' ORDER BY d.id LIMIT 1000`,
  );
  const free = held.filter(({ alert, state }) => state === 'firing' && inhibit(alert) === undefined);
  if (free.length === 0) return;
  await sql.query(
    'letting go of what was held back',
    `UPDATE ${TABLES.alertDeliveries} SET state = 'queued', reason = NULL, cause = NULL, next_at = clock_timestamp()
      WHERE id = ANY($1::bigint[])`,
    [free.map(({ id }) => id)],
  );
}

/** Alerts that fire, of whose beginning the notifier was told. */
async function announcedFiring(
  sql: Transaction,
  notifier: string,
  states: readonly Alert['state'][],
): Promise<(OpenRow & { readonly repeat: number; readonly told_at: Date | null })[]> {
  return sql.query(
    'reading what fires',
    `SELECT DISTINCT ON (d.alert_id) d.id::text, d.seq::text, t.alert, a.state, d.repeat, d.settled_at AS told_at
       FROM ${TABLES.alerts} a JOIN ${TABLES.alertDeliveries} d ON d.alert_id = a.id AND d.notifier = $1
       JOIN ${TABLES.alertTransitions} t ON t.seq = d.seq
      WHERE a.state = ANY($2::text[]) AND d.change = 'firing' AND d.state IN ('sent', 'queued')
      ORDER BY d.alert_id, d.id DESC`,
    [notifier, states],
  );
}

/** Plans reminders of alerts that fire on, `everyMs` after the notifier was last told. */
export async function planReminders(
  sql: Transaction,
  { id: notifier, groupBy }: Addressee,
  everyMs: number,
  inhibit: (alert: Alert) => Inhibition | undefined,
): Promise<void> {
  const due = (await announcedFiring(sql, notifier, ['firing'])).filter(
    ({ told_at, alert }) =>
      told_at !== null && Date.now() - told_at.getTime() >= everyMs && inhibit(alert) === undefined,
  );
  if (due.length === 0) return;
  const groups = due.map(({ alert }) => groupOf(groupBy, alert) ?? null);
  await sql.query(
    'planning reminders',
    `INSERT INTO ${TABLES.alertDeliveries} (seq, alert_id, notifier, change, repeat, state, group_key, message, next_at)
     SELECT seq, alert_id, $1, 'firing', repeat, 'queued', group_key, message, clock_timestamp()
       FROM unnest($2::bigint[], $3::uuid[], $4::int[], $5::text[], $6::text[])
            AS t (seq, alert_id, repeat, group_key, message)
     ON CONFLICT DO NOTHING`,
    [
      notifier,
      due.map(({ seq }) => seq),
      due.map(({ alert }) => alert.id),
      due.map(({ repeat }) => repeat + 1),
      groups,
      due.map(({ alert, repeat }, index) =>
        groups[index] === null ? toldId(alert.id, 'firing', repeat + 1) : null,
      ),
    ],
  );
}

/** What a receiver that forgets must be told again: all that fires and was announced, and is not silenced now. */
export async function firingNow(
  sql: Transaction,
  notifier: string,
  inhibit: (alert: Alert) => Inhibition | undefined,
): Promise<readonly Told[]> {
  const open = await announcedFiring(sql, notifier, ['firing', 'acknowledged']);
  return open
    .filter(({ alert }) => inhibit(alert) === undefined)
    .map(({ alert, repeat }) => ({
      id: toldId(alert.id, 'firing', repeat),
      change: 'firing',
      repeat,
      alert,
    }));
}
