import type { Latency } from '../measure/histogram.ts';
import { PERCENTILES } from '../measure/histogram.ts';
import { chart, escapeHtml, type Line, short } from './charts.ts';
import type { FleetReport } from './report.ts';

const STYLE = `
:root{color-scheme:light dark;--bg:#fbfbfa;--card:#fff;--ink:#1c2024;--soft:#60646c;--rule:#e3e4e8;--good:#18794e;--bad:#cd2b31;--c0:#0d74ce;--c1:#cc4e00;--c2:#218358;--c3:#8145b5;--c4:#ca244d;--c5:#7d6a00}
@media(prefers-color-scheme:dark){:root{--bg:#111113;--card:#18191b;--ink:#edeef0;--soft:#b0b4ba;--rule:#2e3135;--good:#3dd68c;--bad:#ff9592;--c0:#70b8ff;--c1:#ffa057;--c2:#3dd68c;--c3:#d19dff;--c4:#ff92ad;--c5:#f5e147}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1400px;padding:20px 16px 48px;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:32px 0 8px}p{margin:4px 0;color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:16px 0}.tile{background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:10px 12px}.tile b{display:block;font-size:1.3rem;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:.85rem}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:14px}figure{margin:0;background:var(--card);border:1px solid var(--rule);border-radius:8px;padding:10px 12px}figcaption{font-weight:600}figcaption small{font-weight:400;color:var(--soft)}svg{width:100%;height:auto;display:block}
.grid{stroke:var(--rule)}.tick{fill:var(--soft);font:12px system-ui,sans-serif}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
${[0, 1, 2, 3, 4, 5].map((i) => `.c${i}{stroke:var(--c${i})}.k${i}{background:var(--c${i})}`).join('')}
.legend{display:flex;flex-wrap:wrap;gap:4px 14px;color:var(--soft);font-size:.85rem}.key i{display:inline-block;width:12px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--rule);border-radius:8px}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:6px 12px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:500;font-size:.85rem}tr:last-child td{border-bottom:0}
ul{list-style:none;padding:0;margin:8px 0}.good{color:var(--good)}.bad{color:var(--bad)}`;

const count = (value: number): string => value.toLocaleString('en-US', { maximumFractionDigits: 0 });
const ms = (value: number): string => (value < 10 ? value.toFixed(1) : count(value));

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (tag: string, cells: readonly string[]) =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('')}</tr>`;
  return `<div class="scroll"><table>${line('th', heads)}${rows.map((row) => line('td', row)).join('')}</table></div>`;
}

const tile = (value: string, what: string): string =>
  `<div class="tile"><b>${escapeHtml(value)}</b><span>${escapeHtml(what)}</span></div>`;

function latencyRows(report: FleetReport): (readonly [string, Latency])[] {
  const { freshMs } = report;
  const rows: (readonly [string, Latency | null])[] = [
    ['Acknowledgement', report.ackMs],
    ...report.classes.map(({ name, ackMs }) => [`Acknowledgement, ${name}`, ackMs] as const),
    ...report.phases.flatMap(({ name, ackMs, classes }) => [
      [`Acknowledgement in ${name}`, ackMs] as const,
      ...classes.map((one) => [`Acknowledgement in ${name}, ${one.name}`, one.ackMs] as const),
    ]),
    ['Connect', report.connectMs],
    ['Left late by', report.slipMs],
    ['To TimescaleDB', freshMs.endToEnd],
    ['Window end → TimescaleDB', freshMs.window],
    ['… beyond the out-of-orderness', freshMs.beyond],
    ['To the WebSocket', freshMs.websocket],
    ['To RabbitMQ', freshMs.normal],
    ['To RabbitMQ, critical', freshMs.critical],
  ];
  return rows.filter((row): row is readonly [string, Latency] => row[1] !== null);
}

/** x: how many nines, so that the tail has as much room as the middle. */
const nines = (percentile: number): number => -Math.log10(1 - percentile / 100);
const percentileLine = (name: string, latency: Latency | null): Line => ({
  name,
  points:
    latency === null ? [] : PERCENTILES.map((p) => [nines(p), latency[`p${p}` as keyof Latency]] as const),
});

function charts(report: FleetReport): string {
  const { course, processes, freshMs } = report;
  const over = (name: string, of: (second: FleetReport['course'][number]) => number | null): Line => ({
    name,
    points: course.map((second) => [second.at, of(second) ?? Number.NaN] as const),
  });
  const each = (of: (second: FleetReport['processes'][number]['course'][number]) => number): Line[] =>
    processes.map(({ name, course: seconds }) => ({
      name,
      points: seconds.map((second) => [second.at, of(second)] as const),
    }));
  const time = { xUnit: 'seconds since the start' };
  return [
    chart({
      ...time,
      title: 'Readings',
      unit: 'a second',
      lines: [
        over('meant', (one) => one.offeredPerSecond),
        over('sent', (one) => one.sentPerSecond),
        over('acknowledged', (one) => one.acknowledgedPerSecond),
      ],
    }),
    chart({
      ...time,
      title: 'Acknowledgement, from when it was meant to leave',
      unit: 'ms',
      logarithmic: true,
      lines: [over('p50', (one) => one.ackP50), over('p99', (one) => one.ackP99)],
    }),
    chart({
      title: 'Latencies by percentile',
      unit: 'ms',
      xUnit: 'percentile',
      logarithmic: true,
      xTicks: PERCENTILES.filter((p) => p !== 75 && p !== 95).map((p) => [nines(p), `${p} %`] as const),
      lines: [
        percentileLine('acknowledgement', report.ackMs),
        percentileLine('RabbitMQ', freshMs.normal),
        percentileLine('WebSocket', freshMs.websocket),
        percentileLine('TimescaleDB', freshMs.endToEnd),
      ],
    }),
    chart({
      ...time,
      title: 'Connections',
      unit: 'open; devices that wait',
      lines: [over('connected', (one) => one.counts.connected), over('waiting', (one) => one.counts.waiting)],
    }),
    chart({ ...time, title: 'CPU of Weir', unit: 'cores', lines: each(({ cpu }) => cpu) }),
    chart({ ...time, title: 'Resident memory of Weir', unit: 'MiB', lines: each(({ rssMiB }) => rssMiB) }),
  ].join('');
}

/** A report as one page without any other file: it can be kept and sent. */
export function reportHtml(report: FleetReport): string {
  const { counts, machine } = report;
  const p = (latency: Latency | null): string => (latency === null ? '–' : `${ms(latency.p99)} ms`);
  const verdicts = report.thresholds
    .map(
      ({ passed, sentence }) =>
        `<li class="${passed ? 'good' : 'bad'}">${passed ? '✔' : '✖'} ${escapeHtml(sentence)}</li>`,
    )
    .join('');
  const notes = report.notes.map((note) => `<p>${escapeHtml(note)}</p>`).join('');
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Fleet: ${escapeHtml(report.scenario)}</title><style>${STYLE}</style></head><body>
<h1>${escapeHtml(report.scenario)}</h1><p>${escapeHtml(report.about)}</p>
<p>${escapeHtml(report.startedAt)} · ${short(report.durationS)} s · seed ${report.seed} · ${escapeHtml(report.targets.join(', '))} · ${escapeHtml(machine.cpus)}, ${machine.memoryGiB} GiB, Node ${escapeHtml(machine.node)}</p>
<div class="tiles">${[
    tile(count(report.devices), `devices on ${count(report.connections)} connections`),
    tile(
      `${count(report.acknowledgedPerSecond)}/s`,
      `acknowledged of ${count(report.offeredPerSecond)}/s meant`,
    ),
    tile(
      report.carriedPerSecond === null ? '–' : `${count(report.carriedPerSecond)}/s`,
      'carried into windows',
    ),
    tile(report.lost === null ? '–' : count(report.lost), 'lost of the acknowledged'),
    tile(p(report.ackMs), 'acknowledgement p99'),
    tile(p(report.freshMs.endToEnd), 'to TimescaleDB p99'),
    tile(p(report.freshMs.websocket), 'to the WebSocket p99'),
  ].join('')}</div>
<ul>${verdicts}</ul>${notes}
<div class="charts">${charts(report)}</div>
<h2>Latencies, ms</h2>${table(
    ['', 'count', ...PERCENTILES.map((one) => `p${one}`), 'max'],
    latencyRows(report).map(([name, latency]) => [
      name,
      count(latency.count),
      ...PERCENTILES.map((one) => ms(latency[`p${one}` as keyof Latency])),
      ms(latency.max),
    ]),
  )}
<h2>Sinks</h2>${table(
    ['', 'unit', 'found', 'lost', 'duplicates', 'reordered', 'foreign'],
    Object.entries(report.sinks).map(([name, sink]) => [
      name,
      sink.unit,
      ...[sink.found, sink.lost, sink.duplicates].map(count),
      sink.reordered === null ? '–' : count(sink.reordered),
      count(sink.foreign),
    ]),
  )}
<h2>Counts</h2>${table(
    ['', 'count'],
    [
      ...Object.entries(counts).map(([name, value]) => [name, count(value)]),
      ...Object.entries(report.deadLetters).map(([name, value]) => [`dead letters: ${name}`, count(value)]),
    ],
  )}
<h2>Processes</h2>${table(
    ['', 'CPU s', 'µs/reading', 'MiB first', 'MiB last', 'MiB max', 'MiB/min'],
    [
      ...report.processes.map(({ name, cpuSeconds, rssMiB, growthMiBPerMinute }) => [
        name,
        cpuSeconds.toFixed(1),
        ((cpuSeconds * 1e6) / Math.max(1, counts.sent)).toFixed(1),
        ...[rssMiB.first, rssMiB.last, rssMiB.max].map(count),
        growthMiBPerMinute.toFixed(1),
      ]),
      [
        'senders',
        report.senderCpuSeconds.toFixed(1),
        ((report.senderCpuSeconds * 1e6) / Math.max(1, counts.sent)).toFixed(1),
        ...['', '', '', ''],
      ],
    ],
  )}
</body></html>
`;
}
