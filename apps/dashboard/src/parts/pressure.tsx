import type { HopName, Pressure as PressureAnswer } from '@weir/api';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { rate, span } from '../format.ts';
import { now } from '../state.ts';
import { StateMark } from './icons.tsx';

const EVERY_MS = 2_000;

/** What a person calls each hop. */
const NAMES: Readonly<Record<HopName, string>> = {
  'device-gate': 'The edge',
  spool: 'The disk of the spool',
  'forward-kafka': 'The way to Kafka',
  'forward-rabbitmq': 'The way to RabbitMQ',
  kafka: 'Kafka',
  rabbitmq: 'RabbitMQ',
  aggregator: 'The aggregator',
  timescale: 'TimescaleDB',
  archiver: 'The archiver',
  minio: 'MinIO',
  alerter: 'The alerter',
};

/** Which hop holds the others back, and since when; nothing while none does. */
export function PressureStrip() {
  const { value, trouble } = useAsked('pressure', api.pressure, EVERY_MS);
  if (value === null) return trouble === null ? null : <Unknown why={trouble} />;
  const { bottleneck, throttle } = value;
  return (
    <div role="status" aria-label="Pressure">
      <ul class="wrong pressure" data-bottleneck={bottleneck?.hop ?? 'none'}>
        <li>
          <StateMark state={bottleneck === null ? 'ok' : 'degraded'} />
          {bottleneck === null ? (
            <span>Nothing holds the pipeline back.</span>
          ) : (
            <span>
              <strong>{NAMES[bottleneck.hop]}</strong> holds the pipeline back, for{' '}
              {span(now.value - Date.parse(bottleneck.since))} · {bottleneck.why}
            </span>
          )}
        </li>
        {throttle.ratePerSecond !== null && <Throttled throttle={throttle} />}
      </ul>
    </div>
  );
}

function Throttled({ throttle: { mode, ratePerSecond, why } }: Pick<PressureAnswer, 'throttle'>) {
  return (
    <li>
      <StateMark state="degraded" />
      <span>
        {mode === 'on' ? 'Edges send' : 'Edges would be told to send'} at most {rate(ratePerSecond)}{' '}
        readings/s each to Kafka · {why}
      </span>
    </li>
  );
}

function Unknown({ why }: { why: string }) {
  return <p class="muted small">What holds the pipeline back is not known: {why}</p>;
}
