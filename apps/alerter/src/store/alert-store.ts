import type { AlertChange, Evaluation, RuleSet } from '@weir/alerts';
import type { Alert } from '@weir/api';
import { type AlertRule, RULE_KINDS } from '@weir/config/alert-rules';
import {
  ALERT_COLUMNS,
  type AlertRow,
  type AlertTransition,
  appendTransitions,
  type Runner,
  showAlert,
} from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';
import { columns, writeStates } from './rule-states.ts';

/** Everything here runs in the caller's transaction, which is fenced: one alerter at a time. */

const time = (ms: number | undefined): string | null =>
  ms === undefined ? null : new Date(ms).toISOString();

/** A written alert with what decides who is told of it. */
interface WrittenAlert extends AlertRow {
  /** Somebody was told that it fires. */
  readonly announced: boolean;
  readonly fired_value: number | null;
}
const WRITTEN = `${ALERT_COLUMNS}, announced, fired_value`;

async function writeAlerts(sql: Runner, changes: readonly AlertChange[], now: number): Promise<void> {
  const vanished = changes.filter(({ state, opened }) => state === 'vanished' && !opened);
  const changed = changes.filter(({ state, opened }) => state !== 'vanished' && !opened);
  const opened = changes.filter(({ state, opened }) => state !== 'vanished' && opened);
  if (vanished.length > 0) {
    await sql.query(
      'removing alerts that vanished',
      `DELETE FROM ${TABLES.alerts} WHERE id = ANY($1::uuid[]) AND state = 'pending'`,
      [vanished.map(({ id }) => id)],
    );
  }
  const details = (list: readonly AlertChange[]): unknown[][] => [
    list.map(({ id }) => id),
    list.map(({ state }) => state),
    list.map(({ value }) => value),
    list.map(({ threshold }) => threshold),
    list.map(({ firedAt }) => time(firedAt)),
    list.map(({ firedValue }) => firedValue ?? null),
    list.map(({ resolvedAt }) => time(resolvedAt)),
  ];
  // Before the new ones: a series that resolved and began again in one batch has one open alert at any moment.
  if (changed.length > 0) {
    await sql.query(
      'writing alerts',
      `WITH c AS (
         SELECT * FROM unnest($1::uuid[], $2::text[], $3::float8[], $4::float8[], $5::timestamptz[], $6::float8[],
                              $7::timestamptz[])
             AS c (change_id, to_state, to_value, to_threshold, to_fired_at, to_fired_value, to_resolved_at)
       )
       UPDATE ${TABLES.alerts}
          SET state = to_state, value = to_value, threshold = to_threshold,
              fired_at = coalesce(fired_at, to_fired_at), fired_value = coalesce(fired_value, to_fired_value),
              resolved_at = to_resolved_at, updated_at = $8
         FROM c WHERE id = change_id AND state <> 'resolved'`,
      [...details(changed), time(now)],
    );
  }
  if (opened.length > 0) {
    await sql.query(
      'writing alerts',
      `INSERT INTO ${TABLES.alerts} (id, state, value, threshold, fired_at, fired_value, resolved_at, started_at,
                                     severity, rule, site, device, metric, kind, labels, updated_at)
       SELECT *, $16::timestamptz
         FROM unnest($1::uuid[], $2::text[], $3::float8[], $4::float8[], $5::timestamptz[], $6::float8[],
                     $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[],
                     $13::text[], $14::text[], $15::jsonb[])
       ON CONFLICT DO NOTHING`,
      [
        ...details(opened),
        opened.map(({ startedAt }) => time(startedAt)),
        opened.map(({ severity }) => severity),
        ...columns(opened.map(({ series }) => series)),
        opened.map(({ kind }) => kind),
        opened.map(({ labels }) => JSON.stringify(labels)),
        time(now),
      ],
    );
  }
}

/** How it began to fire, whatever it is now. */
const asFired = ({ announced: _, fired_value, ...alert }: WrittenAlert): Alert => ({
  ...showAlert({ ...alert, state: 'firing', value: fired_value, acknowledgedAt: null, acknowledgedBy: null }),
  resolvedAt: null,
});
const asItIs = ({ announced: _, fired_value: __, ...alert }: WrittenAlert): Alert => showAlert(alert);

/** Marks alerts as covered by those of their sites; what is covered waits no more. */
async function cover(sql: Runner, covered: Evaluation['covered']): Promise<void> {
  if (covered.size === 0) return;
  const waiting = await sql.query<WrittenAlert & { readonly waited: boolean } & Record<string, unknown>>(
    'covering alerts by that of their site',
    `WITH c AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS c (alert_id, by)),
          old AS (SELECT id AS old_id, announce_at IS NOT NULL AS waited FROM ${TABLES.alerts}
                   WHERE id = ANY($1::uuid[]) FOR UPDATE)
     UPDATE ${TABLES.alerts} SET suppressed_by = c.by, announce_at = NULL
       FROM c JOIN old ON old.old_id = c.alert_id
      WHERE id = c.alert_id RETURNING ${WRITTEN}, waited`,
    [[...covered.keys()], [...covered.values()]],
  );
  await appendTransitions(
    sql,
    waiting
      .filter(({ waited }) => waited)
      .map(({ waited: _, ...alert }) => ({ alert: asFired(alert), suppressed: true })),
  );
}

/** Tells of alerts whose cover has ended while they still fire. */
async function release(sql: Runner, released: Iterable<string>): Promise<void> {
  const ids = [...released];
  if (ids.length === 0) return;
  const rows = await sql.query<WrittenAlert & { readonly was: boolean } & Record<string, unknown>>(
    'telling of alerts that nothing covers any more',
    `WITH old AS (SELECT id AS old_id, announced AS was FROM ${TABLES.alerts}
                   WHERE suppressed_by = ANY($1::uuid[]) FOR UPDATE)
     UPDATE ${TABLES.alerts} SET suppressed_by = NULL, announced = true
       FROM old WHERE id = old_id AND state IN ('firing', 'acknowledged') RETURNING ${WRITTEN}, was`,
    [ids],
  );
  await appendTransitions(
    sql,
    rows
      .filter(({ was }) => !was)
      .map(({ was: _, ...alert }) => ({ alert: asFired(alert), suppressed: false })),
  );
}

/** Tells of alerts that have waited long enough for one of their site, or of all that wait; how many. */
export async function announceDue(sql: Runner, which: 'due' | 'all'): Promise<number> {
  const rows = await sql.query<WrittenAlert & Record<string, unknown>>(
    'telling of alerts that have waited',
    `UPDATE ${TABLES.alerts} SET announced = true, announce_at = NULL
      WHERE ${which === 'due' ? 'announce_at <= clock_timestamp()' : 'announce_at IS NOT NULL'}
      RETURNING ${WRITTEN}`,
  );
  await appendTransitions(
    sql,
    rows.map((alert) => ({ alert: asFired(alert), suppressed: false })),
  );
  return rows.length;
}

/**
 * Tells of changed alerts. One that may yet be covered by the alert of its site waits; the end of one that nobody was
 * told of is told to nobody.
 */
async function tell(
  sql: Runner,
  changes: readonly AlertChange[],
  waitFor: (rule: string) => number,
): Promise<void> {
  const told = changes.filter(({ state }) => state === 'firing' || state === 'resolved');
  if (told.length === 0) return;
  const rows = await sql.query<WrittenAlert & { readonly waiting: boolean } & Record<string, unknown>>(
    'reading changed alerts',
    `SELECT ${WRITTEN}, announce_at IS NOT NULL AS waiting FROM ${TABLES.alerts} WHERE id = ANY($1::uuid[])`,
    [told.map(({ id }) => id)],
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  const transitions: AlertTransition[] = [];
  const announced: string[] = [];
  const waits: { readonly id: string; readonly ms: number }[] = [];
  for (const { id, state, series, firedAt } of told) {
    const row = byId.get(id);
    if (row === undefined) continue;
    const { waiting, ...alert } = row;
    const began = firedAt !== undefined;
    const covered = alert.suppressedBy !== null;
    const wait = began && !covered ? waitFor(series.rule) : 0;
    if (state === 'firing' && wait > 0) {
      waits.push({ id, ms: wait });
      continue;
    }
    // One that ends while it waits for its site is told with its end.
    if (began || waiting) {
      transitions.push({ alert: asFired(alert), suppressed: covered });
      if (!covered) announced.push(id);
    }
    if (state === 'resolved') {
      const silent = !alert.announced && (covered || !(began || waiting));
      transitions.push({ alert: asItIs(alert), suppressed: silent });
    }
  }
  if (announced.length > 0 || waits.length > 0) {
    await sql.query(
      'noting who is told of alerts',
      `UPDATE ${TABLES.alerts}
          SET announced = announced OR id = ANY($1::uuid[]),
              announce_at = clock_timestamp() + wait_ms * interval '1 millisecond'
         FROM (SELECT unnest($1::uuid[]) AS told_id, NULL::float8 AS wait_ms
               UNION ALL SELECT * FROM unnest($2::uuid[], $3::float8[])) AS t
        WHERE id = told_id`,
      [announced, waits.map(({ id }) => id), waits.map(({ ms }) => ms)],
    );
  }
  await appendTransitions(sql, transitions);
}

/**
 * Writes what an evaluation found: states, alerts and what is to be told of them.
 * @param states those that have to be stored
 * @param waitFor how long an alert of a rule waits for one of its site that may cover it, milliseconds
 */
export async function writeEvaluation(
  sql: Runner,
  { changes, covered, released }: Evaluation,
  states: Evaluation['states'],
  rules: RuleSet,
  waitFor: (rule: string) => number,
  now: number,
): Promise<void> {
  await writeStates(sql, states, (id) => rules.get(id)?.kind ?? '');
  if (changes.length === 0) return;
  await writeAlerts(sql, changes, now);
  await cover(sql, covered);
  await tell(sql, changes, waitFor);
  await release(sql, released);
}

/** As SQL. Alerts of other kinds are the lag monitor's, which ends them itself. */
const KINDS = RULE_KINDS.map((kind) => `'${kind}'`).join(', ');

/**
 * Resolves the open alerts of series that no rule covers any more, because it was removed or now means something
 * else, and forgets their states. How many were told of as firing.
 */
export async function closeUncovered(sql: Runner, rules: readonly AlertRule[], now: number): Promise<number> {
  const covered = (row: string): string =>
    `(${row}.kind NOT IN (${KINDS}) OR
      EXISTS (SELECT FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                       AS r (id, kind, site, device, metric)
               WHERE r.id = ${row}.rule AND r.kind = ${row}.kind AND r.site IN ('*', ${row}.site)
                 AND r.device IN ('*', ${row}.device) AND r.metric IN ('*', ${row}.metric)))`;
  const parameters: unknown[] = [
    rules.map(({ id }) => id),
    rules.map(({ kind }) => kind),
    rules.map(({ site }) => site),
    rules.map((rule) => ('device' in rule ? rule.device : '*')),
    rules.map((rule) => ('metric' in rule ? rule.metric : '*')),
  ];
  await sql.query(
    'removing pending alerts of removed rules',
    `DELETE FROM ${TABLES.alerts} a WHERE state = 'pending' AND NOT ${covered('a')}`,
    parameters,
  );
  const closed = await sql.query<WrittenAlert & Record<string, unknown>>(
    'closing alerts of removed rules',
    `UPDATE ${TABLES.alerts} a SET state = 'resolved', resolved_at = $6, updated_at = $6, announce_at = NULL
      WHERE state IN ('firing', 'acknowledged') AND NOT ${covered('a')} RETURNING ${WRITTEN}`,
    [...parameters, time(now)],
  );
  await sql.query(
    'forgetting the states of removed rules',
    `DELETE FROM ${TABLES.alertRuleState} s WHERE NOT ${covered('s')}`,
    parameters,
  );
  await appendTransitions(
    sql,
    closed.map((alert) => ({ alert: asItIs(alert), suppressed: !alert.announced })),
  );
  await release(
    sql,
    closed.map(({ id }) => id),
  );
  return closed.length;
}
