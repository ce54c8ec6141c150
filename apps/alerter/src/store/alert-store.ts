import type { Database, Runner } from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';
import { type SeriesKey, seriesKeyText } from '../rules/alert-id.ts';
import type { RuleState } from '../rules/threshold.ts';
import type { AlertChange, Evaluation } from '../steps/evaluate-rules.ts';

export interface UnsentAlert {
  readonly id: string;
  readonly rule: string;
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly severity: string;
  readonly state: 'firing' | 'resolved';
  readonly value: number | null;
  readonly fired_value: number | null;
  readonly threshold: number | null;
  readonly started_at: Date;
  readonly fired_at: Date;
  readonly resolved_at: Date | null;
  readonly updated_at: Date;
  readonly firing_sent: boolean;
}

export interface AlertStore {
  /**
   * One transaction: reads the states of `series`, evaluates, writes states and alerts. Nothing is written when it
   * throws. Transactions of several alerters follow one another, so a series never has two evaluations at a time.
   */
  evaluate(
    series: ReadonlyMap<string, SeriesKey>,
    evaluate: (before: ReadonlyMap<string, RuleState>) => Evaluation,
  ): Promise<Evaluation>;
  /** Resolves the open alerts of rules that are not among `ruleIds` and forgets their states; how many were open. */
  closeRemoved(ruleIds: readonly string[]): Promise<number>;
  /** Alerts with a change that is not confirmed on weir.alerts, oldest change first. */
  unsent(limit: number): Promise<readonly UnsentAlert[]>;
  markSent(firing: readonly string[], resolved: readonly string[]): Promise<void>;
}

// Any number serves, as long as no other part of Weir takes the same lock.
const EVALUATION_LOCK = 8_093_001;

interface StateRow extends SeriesKey {
  readonly phase: 'ok' | 'pending' | 'firing';
  readonly since_ms: string | null;
  readonly last_ts_ms: string;
}

const columns = (series: readonly SeriesKey[]): string[][] => [
  series.map(({ rule }) => rule),
  series.map(({ site }) => site),
  series.map(({ device }) => device),
  series.map(({ metric }) => metric),
];

async function readStates(sql: Runner, series: readonly SeriesKey[]): Promise<Map<string, RuleState>> {
  const rows = await sql.query<StateRow>(
    'reading the states of rules',
    `SELECT rule, site, device, metric, phase, since_ms::text, last_ts_ms::text
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS wanted (rule, site, device, metric)
       JOIN ${TABLES.alertRuleState} USING (rule, site, device, metric)`,
    columns(series),
  );
  return new Map(
    rows.map((row) => {
      const lastTs = Number(row.last_ts_ms);
      const state: RuleState =
        row.phase === 'ok'
          ? { phase: 'ok', lastTs }
          : { phase: row.phase, since: Number(row.since_ms), lastTs };
      return [seriesKeyText(row), state];
    }),
  );
}

async function writeStates(sql: Runner, states: Evaluation['states']): Promise<void> {
  const rows = [...states.values()];
  await sql.query(
    'writing the states of rules',
    `INSERT INTO ${TABLES.alertRuleState} (rule, site, device, metric, phase, since_ms, last_ts_ms)
     SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
     ON CONFLICT (rule, site, device, metric) DO UPDATE
       SET phase = excluded.phase, since_ms = excluded.since_ms, last_ts_ms = excluded.last_ts_ms`,
    [
      ...columns(rows.map(({ series }) => series)),
      rows.map(({ state }) => state.phase),
      rows.map(({ state }) => (state.phase === 'ok' ? null : state.since)),
      rows.map(({ state }) => state.lastTs),
    ],
  );
}

const time = (ms: number | undefined): string | null =>
  ms === undefined ? null : new Date(ms).toISOString();

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
      `UPDATE ${TABLES.alerts} AS a
          SET state = c.state, value = c.value, threshold = c.threshold,
              fired_at = coalesce(a.fired_at, c.fired_at), fired_value = coalesce(a.fired_value, c.fired_value),
              resolved_at = c.resolved_at, updated_at = $8
         FROM unnest($1::uuid[], $2::text[], $3::float8[], $4::float8[], $5::timestamptz[], $6::float8[],
                     $7::timestamptz[]) AS c (id, state, value, threshold, fired_at, fired_value, resolved_at)
        WHERE a.id = c.id AND a.state <> 'resolved'`,
      [...details(changed), time(now)],
    );
  }
  if (opened.length > 0) {
    await sql.query(
      'writing alerts',
      `INSERT INTO ${TABLES.alerts} (id, state, value, threshold, fired_at, fired_value, resolved_at, started_at,
                                     severity, rule, site, device, metric, updated_at)
       SELECT *, $14::timestamptz
         FROM unnest($1::uuid[], $2::text[], $3::float8[], $4::float8[], $5::timestamptz[], $6::float8[],
                     $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[],
                     $13::text[])
       ON CONFLICT DO NOTHING`,
      [
        ...details(opened),
        opened.map(({ startedAt }) => time(startedAt)),
        opened.map(({ severity }) => severity),
        ...columns(opened.map(({ series }) => series)),
        time(now),
      ],
    );
  }
}

export function alertStore(database: Database, now: () => number = Date.now): AlertStore {
  return {
    evaluate: (series, evaluate) =>
      database.transaction('evaluating telemetry', async (sql) => {
        await sql.query('waiting for other alerters', 'SELECT pg_advisory_xact_lock($1)', [EVALUATION_LOCK]);
        const evaluation = evaluate(await readStates(sql, [...series.values()]));
        if (evaluation.states.size > 0) await writeStates(sql, evaluation.states);
        await writeAlerts(sql, evaluation.changes, now());
        return evaluation;
      }),
    closeRemoved: (ruleIds) =>
      database.transaction('closing alerts of removed rules', async (sql) => {
        await sql.query('waiting for other alerters', 'SELECT pg_advisory_xact_lock($1)', [EVALUATION_LOCK]);
        await sql.query(
          'closing alerts of removed rules',
          `DELETE FROM ${TABLES.alerts} WHERE state = 'pending' AND rule <> ALL($1::text[])`,
          [ruleIds],
        );
        const closed = await sql.query(
          'closing alerts of removed rules',
          `UPDATE ${TABLES.alerts} SET state = 'resolved', resolved_at = $2, updated_at = $2
            WHERE state = 'firing' AND rule <> ALL($1::text[]) RETURNING id`,
          [ruleIds, time(now())],
        );
        await sql.query(
          'forgetting the states of removed rules',
          `DELETE FROM ${TABLES.alertRuleState} WHERE rule <> ALL($1::text[])`,
          [ruleIds],
        );
        return closed.length;
      }),
    unsent: (limit) =>
      database.query<UnsentAlert>(
        'reading unsent alerts',
        `SELECT id, rule, site, device, metric, severity, state, value, fired_value, threshold, started_at, fired_at,
                resolved_at, updated_at, firing_sent
           FROM ${TABLES.alerts}
          WHERE (fired_at IS NOT NULL AND NOT firing_sent) OR (state = 'resolved' AND NOT resolved_sent)
          ORDER BY updated_at, id LIMIT $1`,
        [limit],
      ),
    markSent: async (firing, resolved) => {
      await database.query(
        'marking alerts as sent',
        `UPDATE ${TABLES.alerts}
            SET firing_sent = firing_sent OR id = ANY($1::uuid[]), resolved_sent = resolved_sent OR id = ANY($2::uuid[])
          WHERE id = ANY($1::uuid[]) OR id = ANY($2::uuid[])`,
        [firing, resolved],
      );
    },
  };
}
