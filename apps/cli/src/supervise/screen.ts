import { bytes, number, type Output, seconds } from '../output.ts';
import type { View } from './view.ts';

type Style = Parameters<Output['style']>[0];

const MARKS: Readonly<Record<string, readonly [string, Style]>> = {
  ready: ['●', 'green'],
  running: ['●', 'green'],
  starting: ['◐', 'yellow'],
  waiting: ['◐', 'yellow'],
  stopping: ['◐', 'yellow'],
  degraded: ['◐', 'yellow'],
  crashed: ['✖', 'red'],
  stopped: ['○', 'dim'],
};

const rate = (value: number | null | undefined): string =>
  value === null || value === undefined ? '–' : `${number(value)}/s`;
const count = (value: number | null | undefined): string =>
  value === null || value === undefined ? '–' : number(value);

function figureRows(
  { figures, edges, bottleneck }: View,
  now: number,
): readonly (readonly [string, string])[] {
  return [
    ['readings in', rate(figures?.readingsPerSecond)],
    ['acknowledged', `${rate(figures?.acknowledgedPerSecond)}, ${count(figures?.acknowledged)} in all`],
    ['windows written', `${rate(figures?.windowsPerSecond)}, ${count(figures?.windowsWritten)} in all`],
    [
      'objects archived',
      `${count(figures?.objectsArchived)}${figures?.bytesArchived == null ? '' : `, ${bytes(figures.bytesArchived)}`}`,
    ],
    ['lag', `aggregator ${count(figures?.lag)}, archiver ${count(figures?.archiveLag)} records`],
    ['dead letters', count(figures?.deadLetters)],
    ['firing alerts', count(figures?.firingAlerts)],
    ...(bottleneck === null
      ? []
      : [
          [
            'held back by',
            `${bottleneck.hop} for ${seconds(now - Date.parse(bottleneck.since))}: ${bottleneck.why}`,
          ] as const,
        ]),
    ['connections', `${count(figures?.connections)} MQTT, ${count(figures?.liveClients)} live`],
    ...(edges.length < 2 ? [] : edges).map(
      ({ url, state, detail, readingsPerSecond, connections }) =>
        [
          `edge at ${new URL(url).host}`,
          state === 'ok'
            ? `${rate(readingsPerSecond)} in, ${count(connections)} connections`
            : `${state}: ${detail}`,
        ] as const,
    ),
  ];
}

const ADDRESS_TITLES: Readonly<Record<string, string>> = {
  page: 'Page',
  api: 'API',
  mqtt: 'MQTT',
  websocket: 'MQTT over WebSocket',
  ingest: 'HTTP ingest',
  metrics: 'Metrics (each app)',
};

/** One screen: servers and apps with their states, addresses, figures. */
export function renderScreen(view: View, output: Output, now = Date.now()): string[] {
  const mark = (state: string): string => {
    const [sign, style] = MARKS[state] ?? ['?', 'dim'];
    return output.style(style, sign);
  };
  const up = view.startedAt === null ? '' : `, up ${seconds(now - Date.parse(view.startedAt))}`;
  const doing = view.doing === '' ? '' : `: ${view.doing}`;
  const lines = [`${mark(view.state)} ${output.style('bold', 'Weir')} is ${view.state}${doing}${up}`];
  if (view.state === 'stopped') return lines;
  lines.push('', output.style('dim', 'Servers'));
  for (const { title, state, detail, pid, ports } of view.servers) {
    const where = `${ports.join(', ')}${pid === null ? '' : `  pid ${pid}`}`;
    lines.push(
      `  ${mark(state)} ${title.padEnd(27)} ${state.padEnd(9)} ${where}${detail === '' ? '' : `  ${detail}`}`,
    );
  }
  lines.push('', output.style('dim', 'Apps'));
  for (const { name, state, detail, process: id, restarts } of view.apps) {
    const more = [
      ...(id === null ? [] : [`pid ${id.pid}`]),
      ...(restarts === 0 ? [] : [output.style('yellow', `${restarts} restart${restarts === 1 ? '' : 's'}`)]),
      ...(detail === '' ? [] : [detail]),
    ];
    lines.push(`  ${mark(state)} ${name.padEnd(27)} ${state.padEnd(9)} ${more.join('  ')}`.trimEnd());
  }
  lines.push('', output.style('dim', 'Addresses'));
  for (const [name, address] of Object.entries(view.addresses)) {
    lines.push(`  ${(ADDRESS_TITLES[name] ?? name).padEnd(27)} ${output.style('cyan', address)}`);
  }
  lines.push('', output.style('dim', 'Figures'));
  for (const [name, value] of figureRows(view, now)) lines.push(`  ${name.padEnd(27)} ${value}`);
  return lines;
}

/** One line with the figures, for where there is no terminal to draw on. */
export function renderLine(view: View): string {
  const { figures } = view;
  const trouble = [
    ...view.servers.filter(({ state }) => state !== 'ready').map(({ title, state }) => `${title} ${state}`),
    ...view.apps
      .filter(({ state }) => state !== 'ready')
      .map(({ name, state, detail }) => `${name} ${state}${detail === '' ? '' : ` (${detail})`}`),
  ];
  const restarts = view.apps.reduce((sum, app) => sum + app.restarts, 0);
  const parts = [
    `${view.state}`,
    `in ${rate(figures?.readingsPerSecond)}`,
    `acknowledged ${count(figures?.acknowledged)}`,
    `windows ${count(figures?.windowsWritten)}`,
    `objects ${count(figures?.objectsArchived)}`,
    `lag ${count(figures?.lag)}`,
    `dead letters ${count(figures?.deadLetters)}`,
    ...(view.bottleneck === null ? [] : [`held back by ${view.bottleneck.hop}`]),
    ...(restarts === 0 ? [] : [`restarts ${restarts}`]),
    ...(trouble.length === 0 ? [] : [`not ready: ${trouble.join(', ')}`]),
  ];
  return parts.join(' · ');
}

/** Draws over what it drew before. */
export class LiveScreen {
  readonly #write: (text: string) => void;
  #drawn = 0;

  constructor(write: (text: string) => void) {
    this.#write = write;
  }
  draw(lines: readonly string[], rows = process.stdout.rows ?? 50): void {
    const shown = lines.slice(0, Math.max(1, rows - 1));
    const back = this.#drawn === 0 ? '' : `\u001b[${this.#drawn}A`;
    // Without wrapping (7l): a long line must not take two rows, or the way back up would be too short.
    this.#write(`\u001b[?7l${back}${shown.map((line) => `\u001b[2K${line}`).join('\n')}\n\u001b[J\u001b[?7h`);
    this.#drawn = shown.length;
  }
}
