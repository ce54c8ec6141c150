import type { FleetReport } from '@weir/load';
import { number, type Output, seconds, table } from '../output.ts';

type Latency = FleetReport['ackMs'];

const ms = (value: number | undefined): string =>
  value === undefined ? '–' : value < 10 ? value.toFixed(1) : number(value);

function latencies(rows: readonly (readonly [string, Latency])[]): string {
  const known = rows.filter((row): row is readonly [string, NonNullable<Latency>] => row[1] !== null);
  return table(
    [
      { title: 'LATENCY (ms)', value: ([name]) => name },
      { title: 'COUNT', value: ([, l]) => number(l.count), align: 'right' },
      ...(['p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max'] as const).map((key) => ({
        title: key,
        value: ([, l]: readonly [string, NonNullable<Latency>]) => ms(l[key]),
        align: 'right' as const,
      })),
    ],
    known,
    'No latencies.',
  );
}

/** The report in words and tables. */
export function reportText(report: FleetReport, output: Output): string {
  const { counts, freshMs, settle } = report;
  const sinks = Object.entries(report.sinks);
  const lines = [
    `${report.scenario}: ${number(report.devices)} devices on ${number(report.connections)} connections, ${number(report.offeredPerSecond)} readings/s meant, ${number(report.sentPerSecond)}/s sent, ${number(report.acknowledgedPerSecond)}/s acknowledged${report.carriedPerSecond === null ? '' : `, ${number(report.carriedPerSecond)}/s carried into windows`}; ${seconds(report.seconds * 1_000)}, seed ${report.seed}`,
    `${number(counts.scheduled)} scheduled, ${number(counts.sent)} sent (${number(counts.sentLate)} late, ${number(counts.sentTwice)} twice, ${number(counts.resent)} again after a reconnect), ${number(counts.acknowledged)} acknowledged, ${number(counts.unacknowledged)} not, ${number(counts.unsent)} unsent`,
    `${number(counts.dialed)} dialed, ${number(counts.reconnects)} connections lost, ${number(counts.failedDials)} failed, ${number(counts.refused)} refused; ${number(counts.malformed)} malformed, ${number(counts.oversized)} oversized`,
    '',
    latencies([
      ['acknowledgement', report.ackMs],
      ...report.classes.map(({ name, ackMs }) => [`  ${name}`, ackMs] as const),
      ...report.phases.flatMap((phase) => [
        [`  in ${phase.name}`, phase.ackMs] as const,
        ...phase.classes.map((one) => [`    ${one.name}`, one.ackMs] as const),
      ]),
      ['connect', report.connectMs],
      ['left late by', report.slipMs],
      ['to TimescaleDB', freshMs.endToEnd],
      ['  from window end', freshMs.window],
      ['  beyond the order', freshMs.beyond],
      ['to the WebSocket', freshMs.websocket],
      ['to RabbitMQ', freshMs.normal],
      ['  critical', freshMs.critical],
    ]),
  ];
  if (sinks.length > 0)
    lines.push(
      '',
      table(
        [
          { title: 'SINK', value: ([name]) => name },
          { title: 'UNIT', value: ([, { unit }]) => unit },
          ...(['found', 'lost', 'duplicates', 'reordered', 'foreign'] as const).map((key) => ({
            title: key.toUpperCase(),
            value: ([, sink]: (typeof sinks)[number]) => {
              const value = sink[key];
              return value === null ? '–' : number(value);
            },
            align: 'right' as const,
          })),
        ],
        sinks,
      ),
    );
  const letters = Object.entries(report.deadLetters);
  if (letters.length > 0)
    lines.push(`Dead letters: ${letters.map(([reason, count]) => `${reason} ${number(count)}`).join(', ')}`);
  const after = (what: string, value: number | null) =>
    value === null ? [] : [`${what} ${value.toFixed(1)} s after the end`];
  const settled = [...after('windows complete', settle.windows), ...after('archive', settle.archive)];
  if (settled.length > 0) lines.push(settled.join(', '));
  const perMessage = counts.sent === 0 ? 0 : (report.senderCpuSeconds * 1e6) / counts.sent;
  lines.push(`Senders: ${perMessage.toFixed(1)} µs of CPU a reading`);
  if (report.processes.length > 0)
    lines.push(
      '',
      table(
        [
          { title: 'PROCESS', value: ({ name }) => name },
          {
            title: 'CPU µs/READING',
            value: ({ cpuSeconds }) => ((cpuSeconds * 1e6) / Math.max(1, counts.sent)).toFixed(1),
            align: 'right',
          },
          { title: 'RSS MiB', value: ({ rssMiB }) => number(rssMiB.max), align: 'right' },
          {
            title: 'MiB/min',
            value: ({ growthMiBPerMinute }) => growthMiBPerMinute.toFixed(1),
            align: 'right',
          },
        ],
        report.processes,
      ),
    );
  for (const note of report.notes) lines.push(output.style('yellow', note));
  if (report.thresholds.length > 0) lines.push('');
  for (const { passed, sentence } of report.thresholds)
    lines.push(`${output.style(passed ? 'green' : 'red', passed ? '✔' : '✖')} ${sentence}`);
  return lines.join('\n');
}
