import { FIGURES, type FigureKey, type Pairs, type SystemName } from './pairs-result.ts';
import { round } from './report.ts';

const PANELS = ['readingsPerSecond', 'clientMicroseconds', 'allMicroseconds', 'clientMiB'] as const;
const PANEL = { width: 420, height: 230, top: 44, left: 16, bottom: 26, gap: 28 };
const BAR_GAP = 3;
const HEAD = 62;
const STACK = { bar: 30, row: 76, left: 96 };
/** Parts of a stacked bar that are narrower have no name in it; the line below has all. */
const NAMED_FROM = 64;
/** Processes with less than this share of the longest bar are one part. */
const SMALL = 0.015;
const OTHERS = 'others';
/** The first seven are distinguishable with the usual kinds of colour blindness (Okabe and Ito), on light and dark. */
const COLOURS = [
  ...['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#8a7f00'],
  ...['#7f7f7f', '#5e4fa2', '#a6761d', '#1f9e9e', '#b2182b'],
];
const NAMES_IN_A_LINE = 7;
/** The servers and the sender look the same in both bars. */
const SHARED = ['sender', 'kafka', 'timescale'];

const STYLE = `
  svg { --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --weir: #0072b2; --peer: #9aa4af; }
  @media (prefers-color-scheme: dark) {
    svg { --ink: #e6edf3; --soft: #9aa4af; --line: #3a424b; --paper: #0d1117; --weir: #56b4e9; --peer: #6b7580; }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--ink); }
  .soft { fill: var(--soft); } .title { font-weight: 600; font-size: 14px; } .head { font-weight: 600; font-size: 17px; }
  .weir { fill: var(--weir); } .peer { fill: var(--peer); }
  .median { stroke: var(--ink); stroke-dasharray: 4 3; fill: none; } .axis { stroke: var(--line); fill: none; }
  .value { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; } .in { fill: #ffffff; } .part { stroke: var(--paper); }`;

/** A self-contained SVG: each figure of each run, Weir beside the peer chain, and where the CPU time went. */
export function plotPairs(result: Pairs): string {
  const { pairs, messages, connections, machine, date } = result;
  const width = 2 * PANEL.width + PANEL.gap + 2 * PANEL.left;
  const panels = PANELS.map((key, i) => {
    const x = PANEL.left + (i % 2) * (PANEL.width + PANEL.gap);
    const y = HEAD + Math.floor(i / 2) * (PANEL.height + PANEL.gap);
    return `<g transform="translate(${x} ${y})">${panel(result, key)}</g>`;
  });
  const below = HEAD + 2 * (PANEL.height + PANEL.gap);
  const parts = stacks(result, width - 2 * PANEL.left);
  const height = below + parts.height;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="Weir and the peer chain in ${pairs.length} pairs of runs">
<style>${STYLE}
</style>
<rect width="${width}" height="${height}" fill="var(--paper)"/>
<text class="head" x="${PANEL.left}" y="26">Weir <tspan class="weir">■</tspan> and mosquitto → Telegraf → Kafka → Telegraf → TimescaleDB <tspan class="peer">■</tspan></text>
<text class="soft" x="${PANEL.left}" y="46">${xml(`${pairs.length} ${pairs.length === 1 ? 'pair' : 'pairs'}, ${round(messages, 0)} readings each, ${connections} connections, QoS 1; ${machine.cpus}, ${machine.memoryGiB} GiB, ${date.slice(0, 10)}; dashed: medians`)}</text>
${panels.join('\n')}
<g transform="translate(${PANEL.left} ${below})">${parts.svg}</g>
</svg>
`;
}

function panel({ pairs, summary }: Pairs, key: FigureKey): string {
  const figure = FIGURES.find((one) => one.key === key);
  const { width, height, top, bottom } = PANEL;
  const plot = height - top - bottom;
  const highest = Math.max(summary[key].weir.most, summary[key].peer.most) || 1;
  const y = (value: number): number => fixed(top + plot * (1 - value / highest));
  const slot = width / pairs.length;
  const bar = Math.min(70, slot * 0.4);
  const digits = figure?.digits ?? 0;
  const drawn = pairs.flatMap((pair, i) =>
    (['weir', 'peer'] as const).map((name, side) => {
      const value = pair[name][key];
      const x = fixed(slot * (i + 0.5) + (side === 0 ? -bar - BAR_GAP / 2 : BAR_GAP / 2));
      return {
        bar: `<rect class="${name}" x="${x}" y="${y(value)}" width="${fixed(bar)}" height="${fixed(top + plot - y(value))}"/>`,
        value: `<text class="value" x="${fixed(x + bar / 2)}" y="${fixed(y(value) - 4)}" text-anchor="middle">${round(value, digits)}</text>`,
      };
    }),
  );
  const median = (name: SystemName): string =>
    `<path class="median" d="M0 ${y(summary[key][name].median)}H${width}"/>`;
  const numbers = pairs.map(
    (_, i) =>
      `<text class="soft" x="${fixed(slot * (i + 0.5))}" y="${height - 8}" text-anchor="middle">pair ${i + 1}</text>`,
  );
  const ratio = `Weir : peer ${round(summary[key].ratio.median, 2)}, ${figure?.better} is better`;
  return [
    `<text class="title" x="0" y="14">${xml(figure?.title ?? key)}</text>`,
    `<text class="soft" x="${width}" y="14" text-anchor="end">${xml(ratio)}</text>`,
    ...drawn.map((one) => one.bar),
    median('weir'),
    median('peer'),
    ...drawn.map((one) => one.value),
    `<path class="axis" d="M0 ${top + plot}H${width}"/>`,
    ...numbers,
  ].join('');
}

type Part = readonly [process: string, microseconds: number];

/** The CPU time of the run in the middle of each system, process by process. */
function stacks({ pairs }: Pairs, width: number): { svg: string; height: number } {
  const rows = (['weir', 'peer'] as const).map((name) => {
    const byCpu = pairs.map((pair) => pair[name]).sort((a, b) => a.allMicroseconds - b.allMicroseconds);
    const parts = Object.entries(byCpu[pairs.length >> 1]?.cpuMicroseconds ?? {});
    return { title: name === 'weir' ? 'Weir' : 'Peer chain', parts, total: total(parts) };
  });
  const longest = Math.max(...rows.map((row) => row.total), 1);
  const scale = (width - STACK.left - 60) / longest;
  const drawn = rows.map((row, i) => {
    const y = 26 + i * STACK.row;
    const parts = gathered(row.parts, longest * SMALL);
    const own = parts.map(([process]) => process).filter((process) => !SHARED.includes(process));
    const colours = [...SHARED, ...own];
    let x = STACK.left;
    const boxes = parts.map(([process, us]) => {
      const wide = us * scale;
      const fill = process === OTHERS ? 'var(--soft)' : COLOURS[colours.indexOf(process) % COLOURS.length];
      const name =
        wide < NAMED_FROM ? '' : `<text class="in" x="${fixed(x + 5)}" y="${y + 19}">${xml(process)}</text>`;
      const box = `<rect class="part" fill="${fill}" x="${fixed(x)}" y="${y}" width="${fixed(wide)}" height="${STACK.bar}"/>${name}`;
      x += wide;
      return box;
    });
    const names = parts.map(([process, us]) => `${process} ${round(us)}`);
    const legend = [names.slice(0, NAMES_IN_A_LINE), names.slice(NAMES_IN_A_LINE)].map(
      (some, line) =>
        `<text class="soft" x="${STACK.left}" y="${y + STACK.bar + 16 * (line + 1)}">${xml(some.join(' · '))}</text>`,
    );
    return (
      `<text x="0" y="${y + 19}">${row.title}</text>${boxes.join('')}<text x="${fixed(x + 6)}" y="${y + 19}">${round(row.total)}</text>` +
      legend.join('')
    );
  });
  return {
    svg: `<text class="title" x="0" y="12">CPU µs/reading by process, the run in the middle</text>${drawn.join('')}`,
    height: 26 + rows.length * STACK.row + 10,
  };
}

const total = (parts: readonly Part[]): number => parts.reduce((sum, [, us]) => sum + us, 0);

/** The large ones first, all small ones as one part at the end. */
function gathered(parts: readonly Part[], small: number): readonly Part[] {
  const large = parts.filter(([, us]) => us >= small).sort(([, a], [, b]) => b - a);
  const rest = total(parts) - total(large);
  return rest === 0 ? large : [...large, [OTHERS, rest]];
}

const fixed = (value: number): number => Math.round(value * 10) / 10;
const xml = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
