import type { Series, SeriesPoint } from '@weir/api';
import type uPlot from 'uplot';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { Chart, type Line } from '../chart/chart.tsx';
import { count, measure, moment, span, timeOfDay } from '../format.ts';
import { LEVEL_MS, level, MOST_POINTS, QUANTILES, quantiles, RANGES, range } from '../state.ts';

/** As many points as the chart has room for: on a phone fewer, or the lines run into each other. */
const points = (): number => Math.max(60, Math.min(400, Math.floor(window.innerWidth / 2.5)));

/** Mean with the band from least to greatest, and the quantiles that are switched on; gaps and open windows show. */
export function WindowsChart({ id, site, metric }: { id: string; site: string; metric: string }) {
  const ms = RANGES.find((one) => one.id === range.value)?.ms ?? 0;
  const asked = level.value === 'auto' || ms / LEVEL_MS[level.value] > MOST_POINTS ? undefined : level.value;

  // A picture of days need not be drawn anew every two seconds.
  const every = Math.min(30_000, Math.max(2_000, ms / 300));
  const { value: series, trouble } = useAsked(
    JSON.stringify([id, site, metric, ms, asked]),
    (signal) => {
      // A start on a whole step is the same question for a while, so the gateway's cache has the answer.
      const from = Math.floor((Date.now() - ms) / every) * every;
      const size = asked === undefined ? { points: points() } : { level: asked };
      return api.series(id, { site, metric, from, ...size }, signal);
    },
    every,
  );

  if (series === null) {
    return (
      <p class="muted" role="status">
        {trouble ?? 'Asking for the windows…'}
      </p>
    );
  }
  const { points: all, unit } = series;
  const shown = QUANTILES.filter((name) => quantiles.value.has(name));
  const filled = all.filter(hasReadings);
  const lines: Line[] = [
    { label: 'least', color: 'band', width: 1 },
    { label: 'greatest', color: 'band', width: 1 },
    ...shown.map((name) => ({ label: name, color: name, width: 1.5, dash: [6, 4] })),
    // Last, so that they are drawn over the others.
    { label: 'mean', color: 'accent', width: 2 },
    { label: 'mean, open', color: 'accent', width: 2, dash: [2, 4] },
  ];
  const size = span(series.seconds * 1_000);
  const describe = (index: number): string => {
    const point = all[index];
    return point === undefined ? '' : told(point, unit, size);
  };
  return (
    <>
      {trouble !== null && (
        <p class="note" role="status">
          {trouble} The picture is from {timeOfDay(Date.parse(series.to))}.
        </p>
      )}
      <ul class="legend" aria-label="Lines">
        <li class="key-mean">mean</li>
        <li class="key-open">mean, still open</li>
        <li class="key-band">least to greatest</li>
        {shown.map((name) => (
          <li key={name} class={`key-${name}`}>
            {name}
          </li>
        ))}
        <li class="muted" data-step={size}>
          {count(filled.length)} points of {size}
        </li>
      </ul>
      <Chart
        data={columns(all, shown)}
        lines={lines}
        band={[2, 1]}
        span={[Date.parse(series.from) / 1_000, Date.parse(series.to) / 1_000]}
        unit={unit ?? ''}
        label={
          filled.length === 0
            ? `No reading of ${metric} in this range.`
            : `${metric}, ${count(filled.length)} points of ${size}, from ${measure(Math.min(...filled.map(({ figures }) => figures.min)))} to ${measure(Math.max(...filled.map(({ figures }) => figures.max)))} ${unit ?? ''}`
        }
        describe={describe}
      />
      {filled.length === 0 && (
        <p class="muted">
          No reading of {metric} in this range. Choose a longer one, or look at Live for what comes in now.
        </p>
      )}
      <Sources of={series} />
    </>
  );
}

type Filled = SeriesPoint & { readonly figures: NonNullable<SeriesPoint['figures']> };
const hasReadings = (point: SeriesPoint): point is Filled => point.figures !== null;

/** Which windows the picture is made of, and what open, closed and final mean. */
function Sources({ of: { stretches, points } }: { of: Series }) {
  const finals = points.filter(({ isFinal }) => isFinal).length;
  const sources = stretches.filter(({ level: name, windows }) => name === null || windows > 0);
  return (
    <details class="sources">
      <summary>
        {count(finals)} of {count(points.length)} points are final
      </summary>
      <p>
        Made of{' '}
        {sources.length === 0
          ? 'no windows'
          : sources
              .map(({ level: name, windows }) =>
                name === null ? 'expired windows' : `${count(windows)} windows of ${name}`,
              )
              .join(', then ')}
        .
      </p>
      <p>
        <strong>Open</strong>: readings still come in. <strong>Closed</strong>: the device has gone on, and
        only a late reading can change it; then its revision grows. <strong>Final</strong>: the time for late
        readings is over too; only a replay of dead letters can change it.
      </p>
    </details>
  );
}

/** Columns for the chart. A point without a reading is a gap; the open end continues from the last closed point. */
function columns(
  points: readonly SeriesPoint[],
  shown: readonly (typeof QUANTILES)[number][],
): uPlot.AlignedData {
  const rows: (number | null)[][] = [[], [], [], ...shown.map(() => []), [], []];
  points.forEach(({ start, figures, isClosed }, i) => {
    const open = !isClosed || points[i + 1]?.isClosed === false;
    const row = [
      Date.parse(start) / 1_000,
      figures?.min,
      figures?.max,
      ...shown.map((name) => figures?.[name]),
      isClosed ? figures?.mean : null,
      open ? figures?.mean : null,
    ];
    rows.forEach((column, c) => {
      column.push(row[c] ?? null);
    });
  });
  return rows as uPlot.AlignedData;
}

function told({ start, figures, isClosed, isFinal }: SeriesPoint, unit: string | null, size: string): string {
  const state = isFinal ? 'final' : isClosed ? 'closed' : 'still open';
  const when = `${moment(Date.parse(start))} (${size}, ${state})`;
  if (figures === null) return `${when}: no reading`;
  const parts = [
    `mean ${measure(figures.mean)}`,
    `least ${measure(figures.min)}`,
    `greatest ${measure(figures.max)}`,
    ...QUANTILES.map((q) => `${q} ${measure(figures[q])}`),
  ];
  const change = figures.rateOfChange === null ? '' : `, ${measure(figures.rateOfChange)} per second`;
  return `${when}: ${parts.join(', ')}${unit === null ? '' : ` ${unit}`}, ${count(figures.count)} readings${change}`;
}
