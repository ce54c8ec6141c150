import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { type Colors, colors, onTheme } from './colors.ts';

export interface Line {
  readonly label: string;
  /** Which of the page's colours. */
  readonly color: keyof Colors;
  readonly width?: number;
  readonly dash?: number[];
  readonly points?: boolean;
}

export interface ChartProps {
  /** Seconds since the epoch, then one list for each line. */
  readonly data: uPlot.AlignedData;
  readonly lines: readonly Line[];
  /** Indexes (from 1) of the upper and lower line of a filled band. */
  readonly band?: readonly [number, number];
  /** Left and right end of the time axis, in seconds; else the data's own. */
  readonly span?: readonly [number, number];
  readonly unit: string;
  /** What the picture shows, in words. */
  readonly label: string;
  /** The sentence for the point under the cursor. */
  readonly describe: (index: number) => string;
}

const HEIGHT = 300;

/**
 * A time chart. The pointer, or the arrow keys while it has the focus, move a cursor whose values are told below the
 * picture as text.
 */
export function Chart({ data, lines, band, span, unit, label, describe }: ChartProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ data, span });
  latest.current = { data, span };
  const [at, setAt] = useState<number | null>(null);
  const shape = JSON.stringify([lines, band, unit]);

  useEffect(() => {
    const holder = box.current;
    if (holder === null) return undefined;
    const make = (): void => {
      plot.current?.destroy();
      plot.current = new uPlot(
        options(holder, colors(), lines, band, unit, latest, setAt),
        latest.current.data,
        holder,
      );
    };
    make();
    const stopTheme = onTheme(make);
    const observer = new ResizeObserver(() => {
      plot.current?.setSize({ width: holder.clientWidth, height: HEIGHT });
    });
    observer.observe(holder);
    return () => {
      stopTheme();
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
    // The picture is built anew only when its lines change; data goes in below.
  }, [shape]);

  useEffect(() => {
    plot.current?.setData(data);
  }, [data]);

  const onKeyDown = (event: KeyboardEvent): void => {
    const u = plot.current;
    const length = data[0].length;
    if (u === null || length === 0) return;
    const step = event.shiftKey ? 10 : 1;
    const from = at ?? length;
    const to: Record<string, number> = {
      ArrowLeft: Math.max(0, from - step),
      ArrowRight: Math.min(length - 1, from + step),
      Home: 0,
      End: length - 1,
    };
    const next = to[event.key];
    if (next === undefined) return;
    event.preventDefault();
    u.setCursor({ left: u.valToPos(data[0][next] ?? 0, 'x'), top: u.over.clientHeight / 2 });
    setAt(next);
  };

  const empty = data[0].length === 0;
  return (
    <figure class="chart">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys move the cursor over the points */}
      <div ref={box} class="plot" role="img" tabIndex={0} aria-label={label} onKeyDown={onKeyDown} />
      <figcaption aria-live="polite">
        {empty ? '' : at === null || at >= data[0].length ? label : describe(at)}
      </figcaption>
    </figure>
  );
}

function options(
  holder: HTMLElement,
  color: Colors,
  lines: readonly Line[],
  band: readonly [number, number] | undefined,
  unit: string,
  latest: { readonly current: { readonly span: readonly [number, number] | undefined } },
  setAt: (index: number | null) => void,
): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: color.muted,
    font: '12px system-ui, sans-serif',
    grid: { stroke: color.line, width: 1 },
    ticks: { stroke: color.line, width: 1, size: 6 },
  };
  return {
    width: holder.clientWidth,
    height: HEIGHT,
    padding: [12, 26, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
    scales: {
      x: {
        time: true,
        range: (_u, min, max) => [...(latest.current.span ?? [min, max])] as [number, number],
      },
      y: { range: (_u, min, max) => padded(min, max) },
    },
    axes: [
      { ...axis, space: 70, values: CLOCK },
      {
        ...axis,
        size: 62,
        ...(unit === '' ? {} : { label: unit, labelSize: 18, labelFont: axis.font as string }),
      },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: color[line.color],
        width: line.width ?? 2,
        ...(line.dash === undefined ? {} : { dash: line.dash }),
        points: { show: line.points ?? false, size: 4 },
        spanGaps: false,
      })),
    ],
    ...(band === undefined ? {} : { bands: [{ series: [band[0], band[1]], fill: color.band }] }),
    hooks: {
      setCursor: [(u) => setAt(u.cursor.idx ?? null)],
    },
  };
}

/** 24-hour clock, whatever uPlot's language is; the day is added where it changes. */
const CLOCK: uPlot.Axis.Values = [
  [86_400 * 28, '{YYYY}-{MM}', null, null, null, null, null, null, 1],
  [86_400, '{D} {MMM}', null, null, null, null, null, null, 1],
  [60, '{HH}:{mm}', '\n{D} {MMM}', null, '\n{D} {MMM}', null, null, null, 1],
  [1, '{HH}:{mm}:{ss}', null, null, null, null, null, null, 1],
];

/** Some room above and below, and a band of values that stays flat when nothing changes. */
function padded(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null) return [0, 1];
  const room = max > min ? (max - min) * 0.08 : Math.max(0.5, Math.abs(max) * 0.05);
  return [min - room, max + room];
}
