import {
  type AlertChange,
  type Evaluation,
  type RuleState,
  type SeriesKey,
  seriesKeyText,
} from '@weir/alerts';
import type { AlertRule } from '@weir/config/alert-rules';
import {
  ALERT_COLUMNS,
  type AlertRow,
  type AlertTransition,
  appendTransitions,
  type Runner,
  showAlert,
} from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';

/** Everything here runs in the caller's transaction, which is fenced: one alerter at a time. */

interface StateRow extends SeriesKey {
  readonly phase: 'ok' | 'pending' | 'firing';
  readonly since_ms: string | null;
  readonly last_ts_ms: string;
  readonly memory: number[] | null;
}

const STATE_COLUMNS = 'rule, site, device, metric, phase, since_ms::text, last_ts_ms::text, memory';

const columns = (series: readonly SeriesKey[]): string[][] => [
  series.map(({ rule }) => rule),
  series.map(({ site }) => site),
  series.map(({ device }) => device),
  series.map(({ metric }) => metric),
];

function toState({ phase, since_ms, last_ts_ms, memory }: StateRow): RuleState {
  const lastTs = Number(last_ts_ms);
  const kept = memory === null ? {} : { memory };
  return phase === 'ok' ? { phase, lastTs, ...kept } : { phase, since: Number(since_ms), lastTs, ...kept };
}

/** States by `seriesKeyText`; a series that was never observed has none. */
export async function readStates(sql: Runner, series: readonly SeriesKey[]): Promise<Map<string, RuleState>> {
  if (series.length === 0) return new Map();
  const rows = await sql.query<StateRow & Record<string, unknown>>(
    'reading the states of rules',
    `SELECT ${STATE_COLUMNS}
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS wanted (rule, site, device, metric)
       JOIN ${TABLES.alertRuleState} USING (rule, site, device, metric)`,
    columns(series),
  );
  return new Map(rows.map((row) => [seriesKeyText(row), toState(row)]));
}

/** States of all series of a rule. */
export async function statesOf(
  sql: Runner,
  rule: string,
): Promise<{ readonly series: SeriesKey; readonly state: RuleState }[]> {
  const rows = await sql.query<StateRow & Record<string, unknown>>(
    'reading the states of a rule',
    `SELECT ${STATE_COLUMNS} FROM ${TABLES.alertRuleState} WHERE rule = $1`,
    [rule],
  );
  return rows.map((row) => {
    const { rule, site, device, metric } = row;
    return { series: { rule, site, device, metric }, state: toState(row) };
  });
}

async function writeStates(
  sql: Runner,
  states: Evaluation['states'],
  kindOf: (rule: string) => string,
): Promise<void> {
  const rows = [...states.values()];
  if (rows.length === 0) return;
  const parameters: unknown[] = [
    ...columns(rows.map(({ series }) => series)),
    rows.map(({ series }) => kindOf(series.rule)),
    rows.map(({ state }) => state.phase),
    rows.map(({ state }) => (state.phase === 'ok' ? null : state.since)),
    rows.map(({ state }) => state.lastTs),
    // An array of arrays would have to be rectangular: each memory travels as the text of an array.
    rows.map(({ state }) => (state.memory === undefined ? null : `{${state.memory.join(',')}}`)),
  ];
  await sql.query(
    'writing the states of rules',
    `INSERT INTO ${TABLES.alertRuleState} (rule, site, device, metric, kind, phase, since_ms, last_ts_ms, memory)
     SELECT rule, site, device, metric, kind, phase, since_ms, last_ts_ms, memory::float8[]
       FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
                   $9::text[]) AS s (rule, site, device, metric, kind, phase, since_ms, last_ts_ms, memory)
     ON CONFLICT (rule, site, device, metric) DO UPDATE
       SET kind = excluded.kind, phase = excluded.phase, since_ms = excluded.since_ms,
           last_ts_ms = excluded.last_ts_ms, memory = excluded.memory`,
    parameters,
  );
}

const time = (ms: number | undefined): string | null =>
  ms === undefined ? null : new Date(ms).toISOString();

/** A written alert with what decides who is told of it. */
interface WrittenAlert extends AlertRow {
  readonly announced: boolean;
}
const WRITTEN = `${ALERT_COLUMNS}, announced`;

async function writeAlerts(
  sql: Runner,
  changes: readonly AlertChange[],
  now: number,
): Promise<ReadonlyMap<string, WrittenAlert>> {
  const vanished = changes.filter(({ state, opened }) => state === 'vanished' && !opened);
  const changed = changes.filter(({ state, opened }) => state !== 'vanished' && !opened);
  const opened = changes.filter(({ state, opened }) => state !== 'vanished' && opened);
  const written = new Map<string, WrittenAlert>();
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
    const rows = await sql.query<WrittenAlert & Record<string, unknown>>(
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
         FROM c WHERE id = change_id AND state <> 'resolved' RETURNING ${WRITTEN}`,
      [...details(changed), time(now)],
    );
    for (const row of rows) written.set(row.id, row);
  }
  if (opened.length > 0) {
    const rows = await sql.query<WrittenAlert & Record<string, unknown>>(
      'writing alerts',
      `INSERT INTO ${TABLES.alerts} (id, state, value, threshold, fired_at, fired_value, resolved_at, started_at,
                                     severity, rule, site, device, metric, kind, labels, updated_at)
       SELECT *, $16::timestamptz
         FROM unnest($1::uuid[], $2::text[], $3::float8[], $4::float8[], $5::timestamptz[], $6::float8[],
                     $7::timestamptz[], $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[],
                     $13::text[], $14::text[], $15::jsonb[])
       ON CONFLICT DO NOTHING RETURNING ${WRITTEN}`,
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
    for (const row of rows) written.set(row.id, row);
  }
  return written;
}

const textOf = (ms: number): string => new Date(ms).toISOString();

/** What is to be told of the changes, in their order: a change that holds two tells both. */
function transitionsOf(
  changes: readonly AlertChange[],
  written: ReadonlyMap<string, WrittenAlert>,
): AlertTransition[] {
  return changes.flatMap(({ id, state, firedAt, firedValue }) => {
    const row = written.get(id);
    if (row === undefined || (state !== 'firing' && state !== 'resolved')) return [];
    const { announced: _, ...alert } = row;
    const shown = showAlert(alert);
    const fired: AlertTransition[] =
      firedAt === undefined
        ? []
        : [
            {
              alert: {
                ...shown,
                state: 'firing',
                value: firedValue ?? null,
                firedAt: textOf(firedAt),
                resolvedAt: null,
              },
              suppressed: false,
            },
          ];
    return state === 'firing' ? fired : [...fired, { alert: shown, suppressed: false }];
  });
}

/** Writes what an evaluation found: states, alerts and what is to be told of them. */
export async function writeEvaluation(
  sql: Runner,
  { states, changes }: Pick<Evaluation, 'states' | 'changes'>,
  kindOf: (rule: string) => string,
  now: number,
): Promise<void> {
  await writeStates(sql, states, kindOf);
  const written = await writeAlerts(sql, changes, now);
  await appendTransitions(sql, transitionsOf(changes, written));
}

/**
 * Resolves the open alerts of series that no rule covers any more, because it was removed or now means something
 * else, and forgets their states. How many were told of as firing.
 */
export async function closeUncovered(sql: Runner, rules: readonly AlertRule[], now: number): Promise<number> {
  const covered = (row: string): string =>
    `EXISTS (SELECT FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
                      AS r (id, kind, site, device, metric)
              WHERE r.id = ${row}.rule AND r.kind = ${row}.kind AND r.site IN ('*', ${row}.site)
                AND r.device IN ('*', ${row}.device) AND r.metric IN ('*', ${row}.metric))`;
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
    `UPDATE ${TABLES.alerts} a SET state = 'resolved', resolved_at = $6, updated_at = $6
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
    closed.map(({ announced: _, ...alert }) => ({ alert: showAlert(alert), suppressed: false })),
  );
  return closed.length;
}
