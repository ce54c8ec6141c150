import type { Alert, AlertDelivery, AlertDetail } from '@weir/api';
import { useState } from 'preact/hooks';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { moment } from '../format.ts';
import { ChangeForm, Dialog } from '../parts/dialog.tsx';
import { SeverityMark } from '../parts/icons.tsx';
import { SilenceForm } from './silences.tsx';
import { condition } from './words.ts';

/** One alert: its course, who was told, and what can be done about it. */
export function AlertDialog({
  id,
  onClose,
  onChanged,
}: {
  id: string;
  onClose: () => void;
  onChanged: () => void;
}) {
  const asked = useAsked(`alert ${id}`, (signal) => api.alert(id, signal), 3_000);
  const [doing, setDoing] = useState<'ack' | 'silence' | null>(null);
  const done = (): void => {
    setDoing(null);
    asked.again();
    onChanged();
  };
  const { value: detail } = asked;
  return (
    <Dialog title={detail === null ? 'Alert' : titleOf(detail.alert)} wide onClose={onClose}>
      {asked.trouble !== null && <p class="note">The alert cannot be read now: {asked.trouble}</p>}
      {detail !== null && (
        <>
          <Facts alert={detail.alert} />
          {doing === null && (
            <p class="actions">
              {detail.alert.state === 'firing' && (
                <button type="button" class="button" onClick={() => setDoing('ack')}>
                  Acknowledge
                </button>
              )}
              {detail.alert.state !== 'resolved' && (
                <button type="button" class="button is-plain" onClick={() => setDoing('silence')}>
                  Silence …
                </button>
              )}
            </p>
          )}
          {doing === 'ack' && (
            <ChangeForm
              action="Acknowledge"
              onDone={done}
              change={(why) => api.acknowledge(detail.alert.id, why)}
            >
              <p>
                Nobody is reminded of it any more. It stays open until its condition ends, and its end is
                told.
              </p>
            </ChangeForm>
          )}
          {doing === 'silence' && <SilenceForm of={detail.alert} onDone={done} />}
          <Course detail={detail} />
        </>
      )}
    </Dialog>
  );
}

const titleOf = ({ rule, device, site }: Alert): string => `${rule}: ${device === '' ? site : device}`;

function Facts({ alert }: { alert: Alert }) {
  return (
    <dl class="facts">
      <div class="fact">
        <dt class="muted">Severity</dt>
        <dd>
          <SeverityMark severity={alert.severity} />
        </dd>
      </div>
      <div class="fact">
        <dt class="muted">State</dt>
        <dd>
          <span class={`chip chip-${alert.state}`}>{alert.state}</span>
          {alert.acknowledgedBy !== null && <span class="muted"> by {alert.acknowledgedBy}</span>}
        </dd>
      </div>
      <div class="fact">
        <dt class="muted">Where</dt>
        <dd>
          {alert.device === '' ? 'the whole site' : alert.device} at {alert.site}
        </dd>
      </div>
      <div class="fact">
        <dt class="muted">Condition</dt>
        <dd>
          {alert.kind}: {condition(alert)}
        </dd>
      </div>
      {Object.entries(alert.labels).map(([name, value]) => (
        <div class="fact" key={name}>
          <dt class="muted">{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function Course({ detail }: { detail: AlertDetail }) {
  return (
    <div class="columns">
      <div>
        <h3>Course</h3>
        <ol class="course">
          <li>
            <span class="chip">began</span> <time>{moment(Date.parse(detail.alert.startedAt))}</time>
          </li>
          {detail.changes.map((change) => (
            <li key={`${change.state} ${change.at}`}>
              <span class={`chip chip-${change.state}`}>{change.state}</span>{' '}
              <time>{moment(Date.parse(change.at))}</time>
              {change.suppressed && <span class="muted"> covered by the alert of its site</span>}
            </li>
          ))}
        </ol>
      </div>
      <div>
        <h3>Who was told</h3>
        {detail.deliveries.length === 0 ? (
          <p class="muted">Nobody: no notifier wants this alert.</p>
        ) : (
          <ul class="course">
            {detail.deliveries.map((delivery) => (
              <li key={`${delivery.notifier} ${delivery.change} ${delivery.repeat}`}>
                <strong>{delivery.notifier}</strong> {delivery.change}
                {delivery.repeat > 0 && ` (reminder ${delivery.repeat})`}: {told(delivery)}
              </li>
            ))}
          </ul>
        )}
      </div>
    </div>
  );
}

function told({ state, reason, attempts, lastError, settledAt }: AlertDelivery): string {
  const when = settledAt === null ? '' : ` ${moment(Date.parse(settledAt))}`;
  const why = reason === null ? '' : `: ${reason}`;
  const error = lastError === null || state === 'sent' ? '' : ` (${lastError})`;
  const tries = attempts > 1 ? ` after ${attempts} attempts` : '';
  return `${state}${why}${when}${tries}${error}`;
}
