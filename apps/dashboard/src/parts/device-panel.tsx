import { computed, signal } from '@preact/signals';
import type { Device, Summary } from '@weir/api';
import { useEffect } from 'preact/hooks';
import { api } from '../api.ts';
import { measure, span } from '../format.ts';
import { poll } from '../polling.ts';
import {
  device,
  LEVEL_MS,
  LEVELS,
  type Level,
  level,
  MOST_POINTS,
  metric,
  now,
  QUANTILES,
  quantiles,
  RANGES,
  range,
  sentence,
  view,
} from '../state.ts';
import { AnomalyChart } from './anomaly-chart.tsx';
import { DeviceFacts } from './device-facts.tsx';
import { LiveChart } from './live-chart.tsx';
import { WindowsChart } from './windows-chart.tsx';

const summary = signal<Summary | null>(null);
const summaryTrouble = signal<string | null>(null);

/** Metrics of the device: those the list knows, else those that the newest values have. */
const metrics = computed(
  () => summary.value?.metrics.map(({ metric: name, unit }) => ({ name, unit })) ?? [],
);

export function DevicePanel({ of }: { of: Device | undefined }) {
  const chosen = device.value;
  const id = chosen?.id;
  const site = chosen?.site;
  useEffect(() => {
    summary.value = null;
    summaryTrouble.value = null;
    if (id === undefined || site === undefined) return undefined;
    return poll(async (signal_) => {
      try {
        summary.value = await api.summary(id, site, signal_);
        summaryTrouble.value = null;
      } catch (error) {
        if (!signal_.aborted) summaryTrouble.value = sentence(error);
        throw error;
      }
    }, 3_000);
  }, [id, site]);

  if (chosen === null) return <p class="muted panel">Choose a device to see what it sends.</p>;
  const known = of?.metrics ?? metrics.value;
  const shown = known.find(({ name }) => name === metric.value) ?? known[0];
  return (
    <article class="panel" aria-labelledby="device-title">
      <header class="panel-head">
        <h3 id="device-title">
          {chosen.id} <span class="muted">at {chosen.site}</span>
        </h3>
        <Choice
          label="View"
          options={[
            ['live', 'Live'],
            ['windows', 'Windows'],
            ['anomaly', 'Anomaly'],
          ]}
          value={view.value}
          choose={(value) => {
            view.value = value;
          }}
        />
      </header>
      {summary.value?.catchingUp === true && (
        <p role="status" class="note">
          The windows are behind and being completed: newest values come from the live feed meanwhile.
        </p>
      )}
      {summaryTrouble.value !== null && summary.value === null && (
        <p role="status" class="note">
          {summaryTrouble.value}
        </p>
      )}
      {summary.value !== null && <DeviceFacts of={summary.value} />}
      <Values summary={summary.value} shown={shown?.name} />
      {view.value !== 'live' && <WindowControls />}
      {shown === undefined ? (
        <p class="muted">Waiting for the first stored value of this device.</p>
      ) : view.value === 'live' ? (
        <LiveChart id={chosen.id} site={chosen.site} metric={shown.name} unit={shown.unit} />
      ) : view.value === 'anomaly' ? (
        <AnomalyChart id={chosen.id} site={chosen.site} metric={shown.name} />
      ) : (
        <WindowsChart id={chosen.id} site={chosen.site} metric={shown.name} />
      )}
    </article>
  );
}

function Values({ summary: of, shown }: { summary: Summary | null; shown: string | undefined }) {
  if (of === null) return null;
  return (
    <ul class="values" aria-label="Metrics, with their newest stored value">
      {of.metrics.map(({ metric: name, unit, value, at }) => (
        <li key={name}>
          <button
            type="button"
            class="value"
            aria-pressed={name === shown}
            onClick={() => {
              metric.value = name;
            }}
          >
            <span class="value-name">{name}</span>
            <span class="value-number">
              {measure(value)} <span class="unit">{unit ?? ''}</span>
            </span>
            <span class="muted value-age">
              {at === null ? 'no value left' : `${span(now.value - Date.parse(at))} ago`}
            </span>
          </button>
        </li>
      ))}
    </ul>
  );
}

function WindowControls() {
  const ms = RANGES.find(({ id }) => id === range.value)?.ms ?? 0;
  const toggle = (name: (typeof QUANTILES)[number]) => (): void => {
    const next = new Set(quantiles.value);
    if (!next.delete(name)) next.add(name);
    quantiles.value = next;
  };
  return (
    <div class="controls">
      <Choice
        label="Range"
        options={RANGES.map(({ id, label }) => [id, label] as const)}
        value={range.value}
        choose={(value) => {
          range.value = value;
        }}
      />
      <label class="field">
        <span>Window</span>
        <select
          value={level.value}
          onChange={(event) => {
            level.value = event.currentTarget.value as Level;
          }}
        >
          <option value="auto">automatic</option>
          {LEVELS.map((name) => (
            <option key={name} value={name} disabled={ms / LEVEL_MS[name] > MOST_POINTS}>
              {name}
            </option>
          ))}
        </select>
      </label>
      {view.value === 'windows' && (
        <fieldset class="toggles">
          <legend class="sr-only">Quantiles</legend>
          {QUANTILES.map((name) => (
            <label key={name} class={`toggle ${name}`}>
              <input type="checkbox" checked={quantiles.value.has(name)} onChange={toggle(name)} />
              {name}
            </label>
          ))}
        </fieldset>
      )}
    </div>
  );
}

/** One of several, as radio buttons that look like one switch. */
function Choice<T extends string>({
  label,
  options,
  value,
  choose,
}: {
  label: string;
  options: readonly (readonly [T, string])[];
  value: T;
  choose: (value: T) => void;
}) {
  return (
    <fieldset class="choice">
      <legend class="sr-only">{label}</legend>
      {options.map(([id, text]) => (
        <label key={id}>
          <input type="radio" name={label} value={id} checked={id === value} onChange={() => choose(id)} />
          <span>{text}</span>
        </label>
      ))}
    </fieldset>
  );
}
