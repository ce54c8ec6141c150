import { TABLES } from '@weir/topology';
import type { Runner } from './database.ts';

export interface StoredMatcher {
  readonly name: string;
  readonly op: '=' | '!=';
  readonly value: string;
}
export interface StoredSilence {
  /** UUID. */
  readonly id: string;
  readonly matchers: readonly StoredMatcher[];
  readonly from: Date;
  /** It lasts until just before this. */
  readonly to: Date;
  readonly by: string;
  readonly why: string;
  readonly createdAt: Date;
}
type Row<T> = T & Record<string, unknown>;

const SILENCE = 'id, matchers, starts_at AS "from", ends_at AS "to", by, why, created_at AS "createdAt"';

export interface SilencesQuery {
  /** Only those that have not ended. */
  readonly current: boolean;
  /** The last row of the page before. */
  readonly after?: { readonly to: Date; readonly id: string } | undefined;
  readonly limit: number;
}

/** The one that ends last comes first. */
export async function listSilences(runner: Runner, query: SilencesQuery): Promise<StoredSilence[]> {
  const { current, after, limit } = query;
  return runner.query<Row<StoredSilence>>(
    'listing silences',
    `SELECT ${SILENCE} FROM ${TABLES.silences}
      WHERE ($1 = false OR ends_at > now())
        AND ($2::timestamptz IS NULL OR (ends_at, id) < ($2::timestamptz, $3::uuid))
      ORDER BY ends_at DESC, id DESC LIMIT $4`,
    [current, after?.to.toISOString() ?? null, after?.id ?? null, limit],
  );
}

export async function addSilence(
  runner: Runner,
  silence: Pick<StoredSilence, 'matchers' | 'from' | 'to' | 'by' | 'why'>,
): Promise<StoredSilence> {
  const { matchers, from, to, by, why } = silence;
  const [row] = await runner.query<Row<StoredSilence>>(
    'storing a silence',
    `INSERT INTO ${TABLES.silences} (matchers, starts_at, ends_at, by, why)
     VALUES ($1, date_trunc('milliseconds', $2::timestamptz), date_trunc('milliseconds', $3::timestamptz), $4, $5)
     RETURNING ${SILENCE}`,
    [JSON.stringify(matchers), from, to, by, why],
  );
  return row as StoredSilence;
}

/** Ends a silence now; null when there is none of this id that has not ended. One that has not begun never does. */
export async function endSilence(
  runner: Runner,
  id: string,
): Promise<{ readonly before: StoredSilence; readonly after: StoredSilence } | null> {
  const [before] = await runner.query<Row<StoredSilence>>(
    'reading a silence',
    `SELECT ${SILENCE} FROM ${TABLES.silences} WHERE id = $1 AND ends_at > now() FOR UPDATE`,
    [id],
  );
  if (before === undefined) return null;
  const [after] = await runner.query<Row<StoredSilence>>(
    'ending a silence',
    `UPDATE ${TABLES.silences} SET starts_at = least(starts_at, t), ends_at = t
       FROM (SELECT date_trunc('milliseconds', now()) AS t) now WHERE id = $1 RETURNING ${SILENCE}`,
    [id],
  );
  return { before, after: after as StoredSilence };
}

/** A rule that was made through the API. */
export interface StoredRule {
  readonly id: string;
  /** As it was written, with units in its values. */
  readonly rule: Readonly<Record<string, unknown>>;
  readonly enabled: boolean;
  /** Never used twice. */
  readonly version: string;
  readonly updatedAt: Date;
  readonly updatedBy: string;
}
const RULE = 'id, rule, enabled, version::text, updated_at AS "updatedAt", updated_by AS "updatedBy"';

/** By id. */
export async function listRules(runner: Runner): Promise<StoredRule[]> {
  return runner.query<Row<StoredRule>>(
    'listing alert rules',
    `SELECT ${RULE} FROM ${TABLES.alertRules} ORDER BY alert_rules.id`,
  );
}

/** Keeps others from changing rules until the transaction ends: rules are checked as a set. */
export async function lockRules(runner: Runner): Promise<void> {
  await runner.query(
    'waiting to change alert rules',
    `LOCK TABLE ${TABLES.alertRules} IN SHARE ROW EXCLUSIVE MODE`,
  );
}

export async function writeRule(
  runner: Runner,
  rule: Pick<StoredRule, 'id' | 'rule' | 'enabled' | 'updatedBy'>,
): Promise<StoredRule> {
  const [row] = await runner.query<Row<StoredRule>>(
    'storing an alert rule',
    `INSERT INTO ${TABLES.alertRules} (id, rule, enabled, updated_by) VALUES ($1, $2, $3, $4)
     ON CONFLICT (id) DO UPDATE SET rule = excluded.rule, enabled = excluded.enabled, version = excluded.version,
                                    updated_at = excluded.updated_at, updated_by = excluded.updated_by
     RETURNING ${RULE}`,
    [rule.id, JSON.stringify(rule.rule), rule.enabled, rule.updatedBy],
  );
  return row as StoredRule;
}

export async function deleteRule(runner: Runner, id: string): Promise<void> {
  await runner.query('removing an alert rule', `DELETE FROM ${TABLES.alertRules} WHERE id = $1`, [id]);
}

/** A maintenance window that was made through the API. */
export interface StoredMaintenance {
  readonly id: string;
  /** As it was written. */
  readonly definition: Readonly<Record<string, unknown>>;
}

/** By id. */
export async function listWindows(runner: Runner): Promise<StoredMaintenance[]> {
  return runner.query<Row<StoredMaintenance>>(
    'listing maintenance windows',
    `SELECT id, definition FROM ${TABLES.maintenanceWindows} ORDER BY id`,
  );
}

export async function writeWindow(runner: Runner, { id, definition }: StoredMaintenance): Promise<void> {
  await runner.query(
    'storing a maintenance window',
    `INSERT INTO ${TABLES.maintenanceWindows} (id, definition) VALUES ($1, $2)
     ON CONFLICT (id) DO UPDATE SET definition = excluded.definition`,
    [id, JSON.stringify(definition)],
  );
}

export async function deleteWindow(runner: Runner, id: string): Promise<void> {
  await runner.query(
    'removing a maintenance window',
    `DELETE FROM ${TABLES.maintenanceWindows} WHERE id = $1`,
    [id],
  );
}

/** Raised with every change of rules, silences and windows. */
export async function alertingVersion(runner: Runner): Promise<string> {
  const [row] = await runner.query<{ version: string }>(
    'looking for changes of rules and silences',
    `SELECT version::text FROM ${TABLES.alertingVersion}`,
  );
  return row?.version ?? '0';
}

/** What became of telling one notifier of one change of an alert. */
export interface StoredDelivery {
  readonly notifier: string;
  readonly change: 'firing' | 'acknowledged' | 'resolved';
  readonly repeat: number;
  readonly state: 'queued' | 'held' | 'sent' | 'dropped' | 'failed';
  readonly reason: string | null;
  readonly cause: string | null;
  readonly message: string | null;
  readonly attempts: number;
  readonly nextAt: Date;
  readonly lastError: string | null;
  readonly settledAt: Date | null;
}
export interface StoredChange {
  readonly state: string;
  readonly at: Date;
  readonly suppressed: boolean;
}

/** All changes of an alert, and the newest 500 deliveries, in their order. */
export async function readAlertHistory(
  runner: Runner,
  id: string,
): Promise<{ readonly changes: readonly StoredChange[]; readonly deliveries: readonly StoredDelivery[] }> {
  const changes = await runner.query<Row<StoredChange>>(
    'reading the changes of an alert',
    `SELECT state, at, suppressed FROM ${TABLES.alertTransitions} WHERE alert_id = $1 ORDER BY seq`,
    [id],
  );
  const deliveries = await runner.query<Row<StoredDelivery>>(
    'reading whom an alert was told',
    `SELECT notifier, change, repeat, state, reason, cause, message, attempts, next_at AS "nextAt",
            last_error AS "lastError", settled_at AS "settledAt"
       FROM ${TABLES.alertDeliveries} WHERE alert_id = $1 ORDER BY id DESC LIMIT 500`,
    [id],
  );
  return { changes, deliveries: deliveries.toReversed() };
}

/** A notifier as the alerter last saw it. */
export interface StoredNotifier {
  readonly notifier: string;
  readonly state: 'healthy' | 'failing' | 'open' | null;
  readonly lastSentAt: Date | null;
  readonly lastError: string | null;
  readonly lastErrorAt: Date | null;
  readonly queued: number;
  readonly oldestQueuedAt: Date | null;
  readonly held: number;
}

/** Those that were ever used or have something waiting. */
export async function readNotifiers(runner: Runner): Promise<StoredNotifier[]> {
  return runner.query<Row<StoredNotifier>>(
    'reading how notifiers are doing',
    `SELECT notifier, h.state, h.last_sent_at AS "lastSentAt", h.last_error AS "lastError",
            h.last_error_at AS "lastErrorAt", coalesce(w.queued, 0) AS queued,
            w.oldest AS "oldestQueuedAt", coalesce(w.held, 0) AS held
       FROM ${TABLES.notifierHealth} h
       FULL JOIN (SELECT d.notifier, count(*) FILTER (WHERE d.state = 'queued')::int AS queued,
                         count(*) FILTER (WHERE d.state = 'held')::int AS held,
                         min(t.at) FILTER (WHERE d.state = 'queued') AS oldest
                    FROM ${TABLES.alertDeliveries} d JOIN ${TABLES.alertTransitions} t USING (seq)
                   WHERE d.state IN ('queued', 'held') GROUP BY d.notifier) w USING (notifier)
      ORDER BY notifier`,
  );
}

/** Somebody asks for a test alert. */
export interface StoredTest {
  /** UUID. */
  readonly id: string;
  readonly notifier: string;
}
export interface StoredTestAnswer {
  readonly ok: boolean;
  readonly said: string;
  readonly tookMs: number;
}

export async function askTest(runner: Runner, { id, notifier }: StoredTest, by: string): Promise<void> {
  await runner.query(
    'asking for a test alert',
    `INSERT INTO ${TABLES.notifierTests} (id, notifier, by) VALUES ($1, $2, $3)`,
    [id, notifier, by],
  );
}

/** Those of the last minute that have no answer yet. */
export async function openTests(runner: Runner): Promise<StoredTest[]> {
  return runner.query<Row<StoredTest>>(
    'looking for test alerts',
    `SELECT id, notifier FROM ${TABLES.notifierTests}
      WHERE answered_at IS NULL AND asked_at > now() - interval '1 minute' ORDER BY asked_at LIMIT 20`,
  );
}

export async function answerTest(runner: Runner, id: string, answer: StoredTestAnswer): Promise<void> {
  await runner.query(
    'answering a test alert',
    `UPDATE ${TABLES.notifierTests} SET answered_at = clock_timestamp(), ok = $2, said = $3, took_ms = $4
      WHERE id = $1`,
    [id, answer.ok, answer.said, answer.tookMs],
  );
}

/** Null: not yet. */
export async function testAnswer(runner: Runner, id: string): Promise<StoredTestAnswer | null> {
  const [row] = await runner.query<Row<StoredTestAnswer>>(
    'reading the answer of a test alert',
    `SELECT ok, said, took_ms AS "tookMs" FROM ${TABLES.notifierTests} WHERE id = $1 AND answered_at IS NOT NULL`,
    [id],
  );
  return row ?? null;
}
