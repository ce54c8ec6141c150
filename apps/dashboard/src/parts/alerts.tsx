import { signal } from '@preact/signals';
import type { Alert } from '@weir/api';
import { condition, isOfDevice, placeOf } from '../alerts/words.ts';
import { moment, span } from '../format.ts';
import { alerts, alertsTrouble, firing, now, select } from '../state.ts';
import { SeverityMark } from './icons.tsx';

const showResolved = signal(true);
const showAll = signal(false);
/** Rows before the rest waits behind a button. */
const FEW = 8;
const RANK: Readonly<Record<Alert['state'], number>> = {
  firing: 0,
  acknowledged: 1,
  pending: 2,
  resolved: 3,
};

export function Alerts() {
  const all = alerts.value;
  const open = (all ?? []).filter(({ state }) => state !== 'resolved');
  const list = [...(showResolved.value ? (all ?? []) : open)].sort(
    (a, b) => RANK[a.state] - RANK[b.state] || Date.parse(b.updatedAt) - Date.parse(a.updatedAt),
  );
  return (
    <section aria-labelledby="alerts-title">
      <div class="section-head">
        <h2 id="alerts-title">Alerts</h2>
        <p role="status">
          {all === null
            ? ''
            : firing.value.length === 0
              ? 'None is firing.'
              : `${firing.value.length} firing.`}
        </p>
        <label class="check">
          <input
            type="checkbox"
            checked={showResolved.value}
            onChange={(event) => {
              showResolved.value = event.currentTarget.checked;
            }}
          />
          Show resolved
        </label>
      </div>
      {alertsTrouble.value !== null && (
        <p class="note" role="status">
          The alerts cannot be read now: {alertsTrouble.value}
        </p>
      )}
      {all !== null && list.length === 0 && (
        <p class="empty">
          {all.length === 0
            ? 'No rule has found anything yet. Rules are set under alerter.rules in weir.yaml.'
            : 'Nothing is open. Resolved alerts are hidden.'}
        </p>
      )}
      {list.length > 0 && (
        <ul class="alerts">
          {(showAll.value ? list : list.slice(0, FEW)).map((alert) => (
            <AlertRow key={alert.id} alert={alert} />
          ))}
        </ul>
      )}
      {list.length > FEW && (
        <button
          type="button"
          class="quiet"
          aria-expanded={showAll.value}
          onClick={() => {
            showAll.value = !showAll.value;
          }}
        >
          {showAll.value ? 'Show fewer' : `Show all ${list.length}`}
        </button>
      )}
    </section>
  );
}

function AlertRow({ alert }: { alert: Alert }) {
  const since = Date.parse(alert.firedAt ?? alert.startedAt);
  const until = alert.resolvedAt === null ? null : Date.parse(alert.resolvedAt);
  const open = (): void => {
    select({ id: alert.device, site: alert.site }, alert.metric);
    document.getElementById('device')?.scrollIntoView({ block: 'start' });
    document.getElementById('device')?.focus({ preventScroll: true });
  };
  return (
    <li class={`alert alert-${alert.state} is-${alert.severity}`}>
      <span class="alert-marks">
        <SeverityMark severity={alert.severity} />
        <span class={`chip chip-${alert.state}`}>{alert.state}</span>
      </span>
      <span class="alert-what">
        {isOfDevice(alert) ? (
          <>
            <button type="button" class="link-button" onClick={open}>
              {alert.device}
            </button>{' '}
            <span class="muted">at {alert.site}</span>
          </>
        ) : (
          <a href={placeOf(alert)}>{alert.device}</a>
        )}
        <span class="alert-rule">
          {alert.rule}: {condition(alert)}
        </span>
      </span>
      <span class="alert-when">
        <time dateTime={new Date(since).toISOString()}>{moment(since)}</time>
        <span class="muted">
          {until === null ? `since ${span(now.value - since)}` : `lasted ${span(until - since)}`}
        </span>
      </span>
    </li>
  );
}
