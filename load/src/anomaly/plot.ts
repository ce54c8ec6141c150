import type { AnomalyAlarm, AnomalyScore } from '@weir/windows';
import type { Labelled } from './judge.ts';

const WIDTH = 1_400;
const TOP = 24;
const HEIGHT = 260;
const SCORE_TOP = TOP + HEIGHT + 12;
const SCORE_HEIGHT = 80;
const BOTTOM = SCORE_TOP + SCORE_HEIGHT + 22;
const DAY_MS = 86_400_000;
/** Scores above it are drawn at the edge. */
const HIGHEST = 2;

/** An SVG: the series with the band of expected values, labelled stretches, alarms, and the score below. */
export function plot(
  { name, series, windows }: Labelled,
  scores: readonly AnomalyScore[],
  alarms: readonly AnomalyAlarm[],
): string {
  const from = series[0]?.ts ?? 0;
  const to = series.at(-1)?.ts ?? 1;
  const values = series.map(({ value }) => value);
  const low = Math.min(...columnsOf(values).map(([least]) => least));
  const high = Math.max(...columnsOf(values).map(([, most]) => most));
  const x = (ts: number): number => round(((ts - from) / (to - from)) * WIDTH);
  const y = (value: number): number => {
    const within = Math.min(high, Math.max(low, value));
    return round(TOP + HEIGHT - ((within - low) / (high - low || 1)) * HEIGHT);
  };
  const scoreY = (score: number): number =>
    round(SCORE_TOP + SCORE_HEIGHT - (Math.min(HIGHEST, score) / HIGHEST) * SCORE_HEIGHT);

  /** For each pixel the series from its least to its most, and the band and score that belong to it. */
  const pixels = new Map<
    number,
    { least: number; most: number; lows: number; highs: number; score: number }
  >();
  series.forEach(({ ts, value }, i) => {
    const { expected = null, tolerance = null, score = null } = scores[i] ?? {};
    const at = Math.floor(x(ts));
    const pixel = pixels.get(at) ?? { least: value, most: value, lows: high, highs: low, score: 0 };
    pixel.least = Math.min(pixel.least, value);
    pixel.most = Math.max(pixel.most, value);
    if (expected !== null && tolerance !== null) {
      pixel.lows = Math.min(pixel.lows, expected - tolerance);
      pixel.highs = Math.max(pixel.highs, expected + tolerance);
    }
    pixel.score = Math.max(pixel.score, score ?? 0);
    pixels.set(at, pixel);
  });
  const drawn = [...pixels];
  const bars = (list: readonly string[]): string => list.join('');
  const rect = (start: number, end: number, top: number, height: number, style: string): string =>
    `<rect x="${x(start)}" y="${top}" width="${Math.max(2, round(x(end) - x(start)))}" height="${height}" ${style}/>`;
  const weeks: string[] = [];
  for (let ts = Math.ceil(from / (7 * DAY_MS)) * 7 * DAY_MS; ts < to; ts += 7 * DAY_MS)
    weeks.push(
      `<path d="M${x(ts)} ${TOP}V${SCORE_TOP + SCORE_HEIGHT}" stroke="#ddd"/><text x="${x(ts) + 2}" y="${BOTTOM - 6}">${new Date(ts).toISOString().slice(5, 10)}</text>`,
    );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${BOTTOM}" font-family="sans-serif" font-size="10">
<rect width="100%" height="100%" fill="#fff"/><text x="4" y="14" font-size="13">${name}: values from ${round(low)} to ${round(high)}; labelled windows red, alarms blue; below the score, threshold 1</text>
${bars(weeks)}
<path stroke="#b7d7f2" d="${bars(drawn.filter(([, { lows, highs }]) => lows < highs).map(([at, { lows, highs }]) => `M${at} ${y(lows)}V${y(highs)}`))}"/>
${bars(windows.map(([start, end]) => rect(start, end, TOP, HEIGHT, 'fill="#e5484d" opacity="0.22"')))}
<path stroke="#222" d="${bars(drawn.map(([at, { least, most }]) => `M${at} ${round(y(least) + 0.5)}V${round(y(most) - 0.5)}`))}"/>
${bars(alarms.map((alarm) => rect(alarm.from, alarm.to, TOP + HEIGHT + 3, 6, 'fill="#0b68cb"')))}
<path stroke="#666" d="${bars(drawn.map(([at, { score }]) => `M${at} ${SCORE_TOP + SCORE_HEIGHT}V${scoreY(score)}`))}"/>
<path stroke="#e5484d" d="M0 ${scoreY(1)}H${WIDTH}"/>
</svg>
`;
}

const round = (value: number): number => Math.round(value * 10) / 10;

/** Least and most of a thousand values at a time: a call takes no more arguments than some ten thousand. */
function columnsOf(values: readonly number[]): [number, number][] {
  const columns: [number, number][] = [];
  for (let i = 0; i < values.length; i += 1_000) {
    const some = values.slice(i, i + 1_000);
    columns.push([Math.min(...some), Math.max(...some)]);
  }
  return columns;
}
