import {
  type Evaluation,
  type FiringAlert,
  type Others,
  type RuleSet,
  type RuleState,
  type SeriesKey,
  seriesKeyText,
} from '@weir/alerts';
import { memberRules, type RuleKind } from '@weir/config/alert-rules';
import type { Runner } from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';

interface StateRow extends SeriesKey {
  readonly phase: 'ok' | 'pending' | 'firing';
  readonly since_ms: string | null;
  readonly last_ts_ms: string;
  readonly memory: number[] | null;
}

const STATE_COLUMNS = 'rule, site, device, metric, phase, since_ms::text, last_ts_ms::text, memory';

/** Names of series, by columns. */
export const columns = (series: readonly SeriesKey[]): string[][] => [
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

/** What rules made of others need to know of the devices and sites of `series`. */
export async function readOthers(
  sql: Runner,
  rules: RuleSet,
  series: Iterable<SeriesKey>,
  before: Map<string, RuleState>,
): Promise<Others> {
  const members = new Map<string, SeriesKey>();
  const sites = new Map<string, { readonly rule: string; readonly site: string }>();
  for (const { rule: id, site, device } of series) {
    const rule = rules.get(id);
    if (rule?.kind === 'composite') {
      for (const member of memberRules(rule))
        members.set(`${member}\0${site}\0${device}`, { rule: member, site, device, metric: '' });
    } else if (rule?.kind === 'correlation') {
      sites.set(`${rule.rule}\0${site}`, { rule: rule.rule, site });
    }
  }
  const seriesOf = new Map<string, SeriesKey[]>();
  if (members.size > 0) {
    const wanted = columns([...members.values()]).slice(0, 3);
    const rows = await sql.query<StateRow & Record<string, unknown>>(
      'reading the states of rules that others are made of',
      `SELECT ${STATE_COLUMNS} FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (rule, site, device)
         JOIN ${TABLES.alertRuleState} USING (rule, site, device)`,
      wanted,
    );
    for (const row of rows) {
      const { rule, site, device, metric } = row;
      // A stored state may lag behind the one in memory, in its time alone.
      if (!before.has(seriesKeyText(row))) before.set(seriesKeyText(row), toState(row));
      const key = `${rule}\0${site}\0${device}`;
      seriesOf.set(key, [...(seriesOf.get(key) ?? []), { rule, site, device, metric }]);
    }
  }
  const firing = new Map<string, (FiringAlert & { readonly metric: string })[]>();
  if (sites.size > 0) {
    const wanted = [...sites.values()];
    const rows = await sql.query<
      FiringAlert & { readonly rule: string; readonly site: string; readonly metric: string } & Record<
          string,
          unknown
        >
    >(
      'reading what fires at a site',
      `SELECT id, rule, site, device, metric, extract(epoch FROM fired_at)::float8 * 1000 AS "firedAt"
         FROM ${TABLES.alerts} JOIN unnest($1::text[], $2::text[]) AS wanted (rule, site) USING (rule, site)
        WHERE state IN ('firing', 'acknowledged')`,
      [wanted.map(({ rule }) => rule), wanted.map(({ site }) => site)],
    );
    for (const row of rows) {
      const key = `${row.rule}\0${row.site}`;
      firing.set(key, [...(firing.get(key) ?? []), row]);
    }
  }
  return {
    seriesOf: (rule, site, device) => seriesOf.get(`${rule}\0${site}\0${device}`) ?? [],
    firing: (rule, site) => firing.get(`${rule}\0${site}`) ?? [],
  };
}

/** The series of rules of some kind that wait for their time. */
export async function pendingSeries(sql: Runner, kind: RuleKind): Promise<SeriesKey[]> {
  return sql.query<SeriesKey & Record<string, unknown>>(
    'reading which rules wait for their time',
    `SELECT rule, site, device, metric FROM ${TABLES.alertRuleState} WHERE kind = $1 AND phase = 'pending'`,
    [kind],
  );
}

/** Writes states. */
export async function writeStates(
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
