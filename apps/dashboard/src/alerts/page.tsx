import type { Alert, AlertList } from '@weir/api';
import { useState } from 'preact/hooks';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { measure, moment, span } from '../format.ts';
import { SeverityMark } from '../parts/icons.tsx';
import { amend, href, query } from '../route.ts';
import { now } from '../state.ts';
import { AlertDialog } from './detail.tsx';
import { Notifiers } from './notifiers.tsx';
import { Rules } from './rules.tsx';
import { Silences } from './silences.tsx';
import { placeOf } from './words.ts';

const STATES = ['open', 'firing', 'acknowledged', 'pending', 'resolved'] as const;
const SEVERITIES = ['critical', 'warning', 'info'] as const;
const EVERY_MS = 3_000;
const PAGE = 100;

/** Open ones come from a question for each state that is open. */
async function ask(state: string, filter: Record<string, string>, signal: AbortSignal): Promise<AlertList> {
  const states = state === 'open' ? ['firing', 'acknowledged', 'pending'] : [state];
  const lists = await Promise.all(
    states.map((one) => api.alerts({ ...filter, state: one, limit: PAGE }, signal)),
  );
  return {
    alerts: lists.flatMap(({ alerts }) => alerts),
    next: lists.some(({ next }) => next !== null) ? '' : null,
  };
}

/** Alerts, who is told of them, and what decides about both. */
export function AlertsPage() {
  const given = query.value;
  const state = given.get('state') ?? 'open';
  const filter = Object.fromEntries(
    ['severity', 'site', 'device', 'rule'].map((name) => [name, given.get(name) ?? '']),
  );
  const asked = useAsked(
    `alerts ${state} ${JSON.stringify(filter)}`,
    (signal) => ask(state, filter, signal),
    EVERY_MS,
  );
  const opened = given.get('alert');
  return (
    <>
      <section aria-labelledby="alerts-title">
        <div class="section-head">
          <h1 id="alerts-title">Alerts</h1>
          <p role="status">{asked.value === null ? '' : counted(asked.value)}</p>
        </div>
        <Filters state={state} filter={filter} />
        {asked.trouble !== null && <p class="note">The alerts cannot be read now: {asked.trouble}</p>}
        {asked.value?.alerts.length === 0 && (
          <p class="empty">
            {state === 'open' ? 'Nothing is open.' : 'No alert fits.'}{' '}
            {state === 'open' && <a href={href('alerts', { state: 'resolved' })}>Show resolved ones</a>}
          </p>
        )}
        {asked.value !== null && asked.value.alerts.length > 0 && <Table alerts={asked.value.alerts} />}
      </section>
      <Silences />
      <Notifiers />
      <Rules />
      {opened !== null && (
        <AlertDialog key={opened} id={opened} onClose={() => amend({ alert: '' })} onChanged={asked.again} />
      )}
    </>
  );
}

function counted({ alerts, next }: AlertList): string {
  const covered = alerts.filter(({ suppressedBy }) => suppressedBy !== null).length;
  const more = next === null ? '' : ' at least';
  return `${more} ${alerts.length} shown${covered === 0 ? '' : `, ${covered} covered by the alert of their site`}.`.trim();
}

function Filters({ state, filter }: { state: string; filter: Readonly<Record<string, string>> }) {
  return (
    <search class="filters">
      <label class="field">
        <span>State</span>
        <select value={state} onChange={(event) => amend({ state: event.currentTarget.value })}>
          {STATES.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
      <label class="field">
        <span>Severity</span>
        <select value={filter.severity} onChange={(event) => amend({ severity: event.currentTarget.value })}>
          <option value="">any</option>
          {SEVERITIES.map((one) => (
            <option key={one} value={one}>
              {one}
            </option>
          ))}
        </select>
      </label>
      {(['site', 'device', 'rule'] as const).map((name) => (
        <label class="field" key={name}>
          <span>{name[0]?.toUpperCase() + name.slice(1)}</span>
          <input
            type="search"
            value={filter[name]}
            placeholder="any"
            onChange={(event) => amend({ [name]: event.currentTarget.value.trim() })}
          />
        </label>
      ))}
    </search>
  );
}

function Table({ alerts }: { alerts: readonly Alert[] }) {
  const [few, setFew] = useState(true);
  const shown = few ? alerts.slice(0, 25) : alerts;
  return (
    <>
      <div class="table-box">
        <table class="rows" data-alerts={alerts.length}>
          <thead>
            <tr>
              <th scope="col">Severity</th>
              <th scope="col">State</th>
              <th scope="col">What</th>
              <th scope="col">Where</th>
              <th scope="col" class="num">
                Value
              </th>
              <th scope="col">Since</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((alert) => (
              <Row key={alert.id} alert={alert} />
            ))}
          </tbody>
        </table>
      </div>
      {alerts.length > 25 && (
        <button type="button" class="quiet" onClick={() => setFew(!few)}>
          {few ? `Show all ${alerts.length}` : 'Show fewer'}
        </button>
      )}
    </>
  );
}

function Row({ alert }: { alert: Alert }) {
  const since = Date.parse(alert.firedAt ?? alert.startedAt);
  const until = alert.resolvedAt === null ? null : Date.parse(alert.resolvedAt);
  return (
    <tr class={`is-${alert.state} is-${alert.severity}`} data-alert={alert.id}>
      <td data-name="Severity">
        <SeverityMark severity={alert.severity} />
      </td>
      <td data-name="State">
        <span class={`chip chip-${alert.state}`}>{alert.state}</span>
        {alert.suppressedBy !== null && <span class="muted small"> covered</span>}
      </td>
      <td data-name="What">
        <button type="button" class="link-button" onClick={() => amend({ alert: alert.id })}>
          {alert.rule}
        </button>
        <span class="muted small">
          {' '}
          {alert.kind}
          {alert.metric === '' ? '' : ` on ${alert.metric}`}
        </span>
      </td>
      <td data-name="Where">
        {alert.device === '' ? 'the whole site' : <a href={placeOf(alert)}>{alert.device}</a>}{' '}
        <span class="muted small">at {alert.site}</span>
      </td>
      <td data-name="Value" class="num">
        {measure(alert.value)}
        {alert.threshold !== null && <span class="muted small"> / {measure(alert.threshold)}</span>}
      </td>
      <td data-name="Since">
        <time dateTime={new Date(since).toISOString()} title={moment(since)}>
          {until === null ? span(now.value - since) : `lasted ${span(until - since)}`}
        </time>
      </td>
    </tr>
  );
}
