import type { AuditReport, Coverage, Difference, Finding, LevelReport } from '@weir/replay';
import type { WindowOptions } from '@weir/windows';
import { number, type Output, seconds, table } from '../output.ts';

/** The rules by which the audit judged, in words. */
export function ruleText(windows: WindowOptions): string {
  const { outOfOrdernessMs, allowedLatenessMs, dedupHorizonMs, dedupCount } = windows;
  return [
    `A device's watermark is the start of its newest pane less ${seconds(outOfOrdernessMs)}. A reading whose pane ended`,
    `${seconds(allowedLatenessMs)} or more before it is too late and in no window, unless it was replayed. A repetition counts`,
    `once when it arrived within ${seconds(dedupHorizonMs)} and ${number(dedupCount)} arrivals of its series.`,
  ].join('\n');
}

export function levelTable(levels: readonly LevelReport[]): string {
  const column = (title: string, key: keyof LevelReport['tally']) => ({
    title,
    value: (row: LevelReport) => number(row.tally[key]),
    align: 'right' as const,
  });
  return table(
    [
      { title: 'TABLE', value: (row) => row.table },
      column('EQUAL', 'equal'),
      column('MISSING', 'missing'),
      column('EXTRA', 'extra'),
      column('DIFFERENT', 'different'),
      column('EXPIRED', 'expired'),
      column('OPEN', 'open'),
      column('UNPROVABLE', 'unprovable'),
    ],
    levels,
  );
}

export function coverageTable(coverage: readonly Coverage[]): string {
  return table(
    [
      { title: 'PARTITION', value: (row) => row.partition, align: 'right' },
      { title: 'OFFSETS', value: (row) => (row.to === row.from ? 'none' : `${row.from}–${row.to - 1n}`) },
      { title: 'OBJECTS', value: (row) => number(row.objects), align: 'right' },
      { title: 'FROM THE ARCHIVE', value: (row) => number(Number(row.archived)), align: 'right' },
      { title: 'FROM KAFKA', value: (row) => number(Number(row.fromLog)), align: 'right' },
      { title: 'LOST', value: (row) => number(Number(row.lost)), align: 'right' },
    ],
    coverage,
    'No partition has been folded yet.',
  );
}

export function findingText(finding: Finding): string {
  const { partition } = finding;
  if (finding.kind === 'unreadable') return `partition ${partition}: ${finding.error}`;
  if (finding.kind === 'two-logs')
    return `partition ${partition}: the archive has two different records at offset ${finding.from}; the topic was made anew, and its windows come from two logs`;
  const range = `offsets ${finding.from}–${finding.to - 1n}`;
  if (finding.kind === 'gap')
    return `partition ${partition}: the archive lacks ${range}; Kafka still has them, and they were taken from there`;
  return `partition ${partition}: neither the archive nor Kafka has ${range}`;
}

function ownerText({ of, id }: Difference): string {
  if (of === null) return `series ${id}, which is not known`;
  if ('rollup' in of) return `${of.rollup} ${of.metric}, the part of partition ${of.partition}`;
  return `${of.site}/${of.device} ${of.metric}`;
}

export function differenceText(difference: Difference, output: Output): string {
  const { kind, table: name, start, columns, offsets } = difference;
  const window = `window of ${new Date(start).toISOString()}`;
  const lines = [`${output.style('bold', kind)} in ${name}: ${ownerText(difference)}, ${window}`];
  for (const [column, { stored, recomputed }] of Object.entries(columns)) {
    const shown = (value: unknown): string => valueText(column, value);
    if (kind === 'different')
      lines.push(`    ${column}: stored ${shown(stored)}, recomputed ${shown(recomputed)}`);
    else lines.push(`    ${column}: ${shown(kind === 'extra' ? stored : recomputed)}`);
  }
  if (offsets !== undefined) lines.push(`    ${offsetsText(offsets)}`);
  return lines.join('\n');
}

function offsetsText(offsets: NonNullable<Difference['offsets']>): string {
  if (offsets.list.length === 0) return 'no record of the log holds a reading of it';
  const more = offsets.more ? ' and more' : '';
  return `its readings lie in partition ${offsets.partition} at ${offsets.list.join(', ')}${more}`;
}

function valueText(column: string, value: unknown): string {
  if (value === null) return 'nothing';
  if (value instanceof Buffer) return `${value.length} bytes ${value.toString('base64').slice(0, 40)}`;
  if (column.endsWith('_ts')) return new Date(Number(value)).toISOString();
  return Object.is(value, -0) ? '-0' : String(value);
}

/** For JSON: sketches as base64, times as RFC 3339, numbers that JSON does not have as texts. */
export function plainLevel(level: LevelReport): unknown {
  const plain = (column: string, value: unknown): unknown => {
    if (value instanceof Buffer) return value.toString('base64');
    if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)))
      return valueText('', value);
    return column.endsWith('_ts') && typeof value === 'number' ? new Date(value).toISOString() : value;
  };
  const examples = level.examples.map((one) => ({
    ...one,
    start: new Date(one.start).toISOString(),
    columns: Object.fromEntries(
      Object.entries(one.columns).map(([column, { stored, recomputed }]) => [
        column,
        { stored: plain(column, stored), recomputed: plain(column, recomputed) },
      ]),
    ),
  }));
  return { ...level, examples };
}

/** The last line of all. */
export function verdict(report: AuditReport): string {
  const sum = (key: keyof LevelReport['tally']): number =>
    report.levels.reduce((total, { tally }) => total + tally[key], 0);
  const wrong = sum('missing') + sum('extra') + sum('different');
  const facts = [`${number(sum('equal'))} windows equal what the log says`];
  if (wrong > 0) facts.push(`${number(wrong)} do not`);
  if (sum('unprovable') > 0)
    facts.push(`${number(sum('unprovable'))} cannot be told, because records are lost`);
  if (report.findings.length > 0)
    facts.push(`${number(report.findings.length)} findings about archive and log`);
  return `${facts.join('; ')}.`;
}
