import type { Anomaly } from '@weir/api';
import type uPlot from 'uplot';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { Chart, type Line } from '../chart/chart.tsx';
import { count, measure, moment, span, timeOfDay } from '../format.ts';
import { LEVEL_MS, LEVELS, level, MOST_POINTS, RANGES, range } from '../state.ts';

/** A chart of so many windows can still be read. */
const POINTS = 2_100;
type Point = Anomaly['points'][number];

const LINES: readonly Line[] = [
  { label: 'lowest usual', color: 'band', width: 1 },
  { label: 'highest usual', color: 'band', width: 1 },
  { label: 'expected', color: 'muted', width: 1.5, dash: [4, 4] },
  { label: 'value', color: 'accent', width: 2 },
  { label: 'anomalous', color: 'bad', width: 3, points: true },
];

/** Values in the band in which they were expected, those that are anomalous, and the alarms. */
export function AnomalyChart({ id, site, metric }: { id: string; site: string; metric: string }) {
  const ms = RANGES.find((one) => one.id === range.value)?.ms ?? 0;
  const fits = level.value !== 'auto' && ms / LEVEL_MS[level.value] <= MOST_POINTS;
  const asked = fits ? level.value : LEVELS.find((name) => ms / LEVEL_MS[name] <= POINTS);

  const every = Math.min(60_000, Math.max(5_000, ms / 300));
  const { value: anomaly, trouble } = useAsked(
    JSON.stringify([id, site, metric, ms, asked]),
    (signal) => {
      const from = Math.floor((Date.now() - ms) / every) * every;
      return api.anomaly(id, { site, metric, from, level: asked ?? '1h' }, signal);
    },
    every,
  );

  if (anomaly === null) {
    return (
      <p class="muted" role="status">
        {trouble ?? 'Asking for the score…'}
      </p>
    );
  }
  const { points, alarms, unit, seconds } = anomaly;
  const scored = points.filter(({ score }) => score !== null).length;
  const size = span(seconds * 1_000);
  const describe = (index: number): string => {
    const point = points[index];
    return point === undefined ? '' : told(point, unit, size);
  };
  return (
    <>
      {trouble !== null && (
        <p class="note" role="status">
          {trouble} The picture is from {timeOfDay(Date.parse(anomaly.to))}.
        </p>
      )}
      <ul class="legend" aria-label="Lines">
        <li class="key-mean">mean of {size}</li>
        <li class="key-expected">expected</li>
        <li class="key-band">usual</li>
        <li class="key-anomalous">anomalous</li>
        <li class="muted" data-scored={scored}>
          {count(scored)} of {count(points.length)} windows scored
        </li>
      </ul>
      <Chart
        data={columns(points)}
        lines={LINES}
        band={[2, 1]}
        span={[Date.parse(anomaly.from) / 1_000, Date.parse(anomaly.to) / 1_000]}
        unit={unit ?? ''}
        label={`${metric}: ${alarms.length === 0 ? 'no alarm' : `${count(alarms.length)} alarms`} in ${count(points.length)} windows of ${size}`}
        describe={describe}
      />
      <Alarms of={anomaly} />
      <Learnt of={anomaly} scored={scored} />
    </>
  );
}

const CAUSES = {
  value: 'a value far from what was expected',
  level: 'the mean of a day far from what was expected',
  spread: 'the noise of six hours risen or gone',
} as const;

function Alarms({ of: { alarms } }: { of: Anomaly }) {
  if (alarms.length === 0) return null;
  return (
    <ul class="anomaly-alarms" aria-label="Alarms">
      {alarms.map(({ from, to, cause, peak, isOpen }) => (
        <li key={from}>
          <strong>{moment(Date.parse(from))}</strong>{' '}
          {isOpen ? 'and still open' : `for ${span(Date.parse(to) - Date.parse(from))}`}: {CAUSES[cause]},
          score {measure(peak)}
        </li>
      ))}
    </ul>
  );
}

function Learnt({ of: { learntFrom }, scored }: { of: Anomaly; scored: number }) {
  if (learntFrom === null) {
    return (
      <p class="muted">
        No closed window with a reading in this range. Choose a longer one, or look at Live for what comes in
        now.
      </p>
    );
  }
  const since = moment(Date.parse(learntFrom));
  return (
    <p class="muted">
      {scored === 0
        ? `Learning since ${since}. A first score takes an hour of values, or twelve hours at one in five minutes.`
        : `Learnt from windows since ${since}. A score of 1 is the threshold: what this series exceeds once in four weeks by itself.`}
    </p>
  );
}

/** Columns for the chart. A band that is much wider than the values ends where they can still be told apart. */
function columns(points: readonly Point[]): uPlot.AlignedData {
  const values = points.flatMap(({ value }) => (value === null ? [] : [value]));
  const least = Math.min(...values);
  const most = Math.max(...values);
  const room = Math.max((most - least) / 2, Math.abs(most) * 0.01);
  const within = (value: number | null): number | null =>
    value === null ? null : Math.min(most + room, Math.max(least - room, value));
  return [
    points.map(({ start }) => Date.parse(start) / 1_000),
    points.map(({ low }) => within(low)),
    points.map(({ high }) => within(high)),
    points.map(({ expected }) => within(expected)),
    points.map(({ value }) => value),
    points.map(({ value, score }) => (score !== null && score >= 1 ? value : null)),
  ] as uPlot.AlignedData;
}

function told(
  { start, value, score, cause, expected, low, high }: Point,
  unit: string | null,
  size: string,
): string {
  const when = `${moment(Date.parse(start))} (${size})`;
  if (value === null) return `${when}: no reading`;
  const what = `${when}: ${measure(value)}${unit === null ? '' : ` ${unit}`}`;
  if (score === null) return `${what}, too little known for a score`;
  const usual = low === null ? '' : `, usual ${measure(low)} to ${measure(high)}`;
  return `${what}, expected ${measure(expected)}${usual}; score ${measure(score)} of its ${cause}`;
}
