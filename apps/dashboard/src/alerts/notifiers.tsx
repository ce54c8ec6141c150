import type { NotifierTest, NotifierView } from '@weir/api';
import { useState } from 'preact/hooks';
import { api } from '../api.ts';
import { useAsked } from '../asked.ts';
import { count, fineSpan, span } from '../format.ts';
import { now, sentence } from '../state.ts';

const STATES: Readonly<Record<NotifierView['state'], string>> = {
  healthy: 'works',
  failing: 'fails',
  open: 'given up for now',
  unknown: 'not used yet',
};

/** Who is told of alerts, and whether that works. */
export function Notifiers() {
  const asked = useAsked('notifiers', (signal) => api.notifiers(signal), 5_000);
  return (
    <section aria-labelledby="notifiers-title">
      <div class="section-head">
        <h2 id="notifiers-title">Notifiers</h2>
        <p>Who is told. They are set under alerter.notifiers in weir.yaml.</p>
      </div>
      {asked.trouble !== null && <p class="note">Notifiers cannot be read now: {asked.trouble}</p>}
      {asked.value?.notifiers.length === 0 && (
        <p class="empty">None is set: alerts are shown here, and nobody is told.</p>
      )}
      {asked.value !== null && asked.value.notifiers.length > 0 && (
        <div class="table-box">
          <table class="rows">
            <thead>
              <tr>
                <th scope="col">Notifier</th>
                <th scope="col">State</th>
                <th scope="col" class="num">
                  Waiting
                </th>
                <th scope="col" class="num">
                  Held
                </th>
                <th scope="col">Last sent</th>
                <th scope="col">Test</th>
              </tr>
            </thead>
            <tbody>
              {asked.value.notifiers.map((notifier) => (
                <Row key={notifier.id} notifier={notifier} onTested={asked.again} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ notifier, onTested }: { notifier: NotifierView; onTested: () => void }) {
  const [said, setSaid] = useState<NotifierTest | string | null>(null);
  const test = async (): Promise<void> => {
    setSaid('Sending …');
    try {
      setSaid(await api.testNotifier(notifier.id));
    } catch (error) {
      setSaid(sentence(error));
    }
    onTested();
  };
  const isWrong = notifier.state === 'failing' || notifier.state === 'open';
  return (
    <tr data-notifier={notifier.id}>
      <td data-name="Notifier">
        <strong>{notifier.id}</strong> <span class="muted small">{notifier.kind}</span>
      </td>
      <td data-name="State">
        <span class={isWrong ? 'chip chip-firing' : 'chip'}>{STATES[notifier.state]}</span>
        {isWrong && notifier.lastError !== null && <span class="small"> {notifier.lastError}</span>}
      </td>
      <td data-name="Waiting" class="num">
        {count(notifier.queued)}
      </td>
      <td data-name="Held" class="num">
        {count(notifier.held)}
      </td>
      <td data-name="Last sent">
        {notifier.lastSentAt === null ? (
          <span class="muted">never</span>
        ) : (
          `${span(now.value - Date.parse(notifier.lastSentAt))} ago`
        )}
      </td>
      <td data-name="Test">
        <button type="button" class="quiet" onClick={test} aria-label={`Send a test to ${notifier.id}`}>
          Send a test
        </button>
        <span role="status" class="small">
          {said === null
            ? ''
            : typeof said === 'string'
              ? said
              : `${said.ok ? 'Taken' : 'Not taken'} in ${fineSpan(said.tookMs)}: ${said.said}`}
        </span>
      </td>
    </tr>
  );
}
