import { useEffect, useState } from 'preact/hooks';
import { api } from '../api.ts';
import { Chart } from '../chart/chart.tsx';
import { LiveSeries } from '../chart/live-series.ts';
import { feedDropped, feedState, onReadings } from '../feed.ts';
import { count, measure, timeOfDay } from '../format.ts';
import { now } from '../state.ts';

const KEEP_MS = 180_000;
/** A picture four times a second is as smooth as readings at 1 Hz can look. */
const DRAW_MS = 250;

type Data = [number[], number[]];

/** The readings of one metric as they come in, after the last three minutes of stored one-second windows. */
export function LiveChart({
  id,
  site,
  metric,
  unit,
}: {
  id: string;
  site: string;
  metric: string;
  unit: string | null;
}) {
  const [data, setData] = useState<Data>([[], []]);
  useEffect(() => {
    const series = new LiveSeries(KEEP_MS);
    const abort = new AbortController();
    let changed = true;
    setData([[], []]);
    api
      .windows(
        id,
        { site, metric, level: '1s', from: Date.now() - KEEP_MS, limit: KEEP_MS / 1_000 },
        abort.signal,
      )
      .then(({ windows }) => {
        for (const window of windows) series.add(Date.parse(window.start), window.last);
        changed = true;
      })
      // The live readings draw the picture all the same; that the gateway is away is told at the top of the page.
      .catch(() => undefined);
    const stop = onReadings((readings) => {
      for (const one of readings) {
        if (one.metric !== metric || one.device !== id) continue;
        series.add(one.ts, one.value);
        changed = true;
      }
    });
    const timer = window.setInterval(() => {
      if (!changed || document.hidden) return;
      changed = false;
      setData(series.data);
    }, DRAW_MS);
    return () => {
      abort.abort();
      stop();
      window.clearInterval(timer);
    };
  }, [id, site, metric]);

  const [times, values] = data;
  const newest = values.at(-1);
  const end = Math.max(times.at(-1) ?? 0, now.value / 1_000);
  const say = (index: number): string =>
    `${timeOfDay((times[index] ?? 0) * 1_000)}: ${measure(values[index] ?? null)} ${unit ?? ''}`;
  return (
    <>
      <p class="feed">
        <FeedState />
        {newest !== undefined && (
          <span class="now" data-live-value>
            {measure(newest)} <span class="unit">{unit ?? ''}</span>
          </span>
        )}
      </p>
      <Chart
        data={data}
        lines={[{ label: metric, color: 'accent', points: times.length < 40 }]}
        span={[end - KEEP_MS / 1_000, end]}
        unit={unit ?? ''}
        label={
          times.length === 0
            ? `${metric}: waiting for a reading.`
            : `${metric} over the last three minutes, ${count(times.length)} readings, from ${measure(Math.min(...values))} to ${measure(Math.max(...values))} ${unit ?? ''}`
        }
        describe={say}
      />
    </>
  );
}

const SENTENCES = {
  connecting: 'Connecting to the live feed…',
  open: 'Live',
  'no-feed': 'RabbitMQ is away: only stored windows now. Live readings go on by themselves when it is back.',
  away: 'The live feed was lost; connecting again.',
} as const;

function FeedState() {
  const state = feedState.value;
  return (
    <span role="status" class={`feed-state feed-${state}`}>
      <span class="dot" aria-hidden="true" />
      {SENTENCES[state]}
      {feedDropped.value > 0 && (
        <span class="muted"> · {count(feedDropped.value)} skipped: this page was too slow</span>
      )}
    </span>
  );
}
