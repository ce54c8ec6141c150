import type { Window, WindowList } from '@weir/api';
import { useEffect, useState } from 'preact/hooks';
import type uPlot from 'uplot';
import { api } from '../api.ts';
import { Chart, type Line } from '../chart/chart.tsx';
import { count, measure, moment, timeOfDay } from '../format.ts';
import { poll } from '../polling.ts';
import { LEVEL_MS, level, MOST_POINTS, QUANTILES, quantiles, RANGES, range, sentence } from '../state.ts';

/** Mean with the band from least to greatest, and the quantiles that are switched on. */
export function WindowsChart({ id, site, metric }: { id: string; site: string; metric: string }) {
  const [list, setList] = useState<WindowList | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  const ms = RANGES.find((one) => one.id === range.value)?.ms ?? 0;
  const asked = level.value === 'auto' || ms / LEVEL_MS[level.value] > MOST_POINTS ? undefined : level.value;

  useEffect(() => {
    setList(null);
    setTrouble(null);
    // A picture of days need not be drawn anew every two seconds.
    const every = Math.min(30_000, Math.max(2_000, ms / 300));
    return poll(async (signal) => {
      try {
        // A start on a whole step is the same question for a while, so the gateway's cache has the answer.
        const from = Math.floor((Date.now() - ms) / every) * every;
        const query = { site, metric, from, limit: 10_000, ...(asked === undefined ? {} : { level: asked }) };
        setList(await api.windows(id, query, signal));
        setTrouble(null);
      } catch (error) {
        if (!signal.aborted) setTrouble(sentence(error));
        throw error;
      }
    }, every);
  }, [id, site, metric, ms, asked]);

  if (list === null) {
    return (
      <p class="muted" role="status">
        {trouble ?? 'Asking for the windows…'}
      </p>
    );
  }
  const { windows, unit } = list;
  const shown = list.level === '1s' ? [] : QUANTILES.filter((name) => quantiles.value.has(name));
  const lines: Line[] = [
    { label: 'least', color: 'band', width: 1 },
    { label: 'greatest', color: 'band', width: 1 },
    ...shown.map((name) => ({ label: name, color: name, width: 1.5, dash: [6, 4] })),
    // Last, so that it is drawn over the others.
    { label: 'mean', color: 'accent', width: 2 },
  ];
  const data = aligned(list, shown);
  const describe = (index: number): string => {
    const at = (data[0] as number[])[index] ?? 0;
    const window = windows.find((one) => Date.parse(one.start) === at * 1_000);
    return window === undefined ? `${moment(at * 1_000)}: no reading` : told(window, list);
  };
  return (
    <>
      {trouble !== null && (
        <p class="note" role="status">
          {trouble} The picture is from {timeOfDay(Date.parse(list.to))}.
        </p>
      )}
      <ul class="legend" aria-label="Lines">
        <li class="key-mean">mean</li>
        <li class="key-band">least to greatest</li>
        {shown.map((name) => (
          <li key={name} class={`key-${name}`}>
            {name}
          </li>
        ))}
        <li class="muted" data-level={list.level}>
          {count(windows.length)} windows of {list.level}
        </li>
        {list.level === '1s' && quantiles.value.size > 0 && (
          <li class="muted">quantiles begin at windows of 10s</li>
        )}
      </ul>
      <Chart
        data={data}
        lines={lines}
        band={[2, 1]}
        span={[Date.parse(list.from) / 1_000, Date.parse(list.to) / 1_000]}
        unit={unit ?? ''}
        label={
          windows.length === 0
            ? `No reading of ${metric} in this range.`
            : `${metric}, ${count(windows.length)} windows of ${list.level}, from ${measure(Math.min(...windows.map(({ min }) => min)))} to ${measure(Math.max(...windows.map(({ max }) => max)))} ${unit ?? ''}`
        }
        describe={describe}
      />
      {windows.length === 0 && (
        <p class="muted">
          No reading of {metric} in this range. Choose a longer one, or look at Live for what comes in now.
        </p>
      )}
    </>
  );
}

/** Columns for the chart; where windows are missing, a gap instead of a line over it. */
function aligned(
  { windows, seconds }: WindowList,
  shown: readonly (typeof QUANTILES)[number][],
): uPlot.AlignedData {
  const columns: (number | null)[][] = [[], [], [], [], ...shown.map(() => [])];
  let before: number | null = null;
  for (const window of windows) {
    const at = Date.parse(window.start) / 1_000;
    if (before !== null && at - before > seconds * 1.5) {
      columns.forEach((column, i) => {
        column.push(i === 0 ? (before as number) + seconds : null);
      });
    }
    const row = [at, window.min, window.max, ...shown.map((name) => window[name]), window.mean];
    columns.forEach((column, i) => {
      column.push(row[i] ?? null);
    });
    before = at;
  }
  return columns as unknown as uPlot.AlignedData;
}

function told(window: Window, { unit, level: name }: WindowList): string {
  const parts = [
    `mean ${measure(window.mean)}`,
    `least ${measure(window.min)}`,
    `greatest ${measure(window.max)}`,
    ...QUANTILES.flatMap((q) => (window[q] === null ? [] : [`${q} ${measure(window[q])}`])),
  ];
  const late = window.revision > 0 ? `, changed ${count(window.revision)} times` : '';
  return `${moment(Date.parse(window.start))} (${name}): ${parts.join(', ')}${unit === null ? '' : ` ${unit}`}, ${count(window.count)} readings${late}`;
}
