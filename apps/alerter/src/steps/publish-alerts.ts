import type { OutgoingMessage, Publisher } from '@weir/connect-rabbitmq';
import { EXCHANGES } from '@weir/topology';
import type { AlerterEvents } from '../events.ts';
import type { OutboxStore, UnsentAlert } from '../store/outbox-store.ts';

const AT_A_TIME = 200;

/** The message of one change; the body has the shape of the API's alert. */
export function alertMessage(alert: UnsentAlert, state: 'firing' | 'resolved'): OutgoingMessage {
  const { id, rule, kind, site, device, metric, severity, threshold } = alert;
  const firing = state === 'firing';
  return {
    exchange: EXCHANGES.alerts.name,
    key: '',
    contentType: 'application/json',
    // The same change has the same id, so that a subscriber can tell a message that was sent twice.
    messageId: `${id}/${state}`,
    headers: { severity, site, kind, state, rule },
    body: Buffer.from(
      JSON.stringify({
        id,
        rule,
        kind,
        site,
        device,
        metric,
        severity,
        state,
        value: firing ? alert.fired_value : alert.value,
        threshold,
        startedAt: alert.started_at.toISOString(),
        firedAt: alert.fired_at.toISOString(),
        resolvedAt: firing ? null : (alert.resolved_at?.toISOString() ?? null),
        updatedAt: alert.updated_at.toISOString(),
      }),
    ),
  };
}

/**
 * Publishes the changes that are stored and not yet confirmed. A change that no queue is bound for counts as sent: the
 * row is the record, the exchange is for whoever listens. Returns how many the broker refused (a full queue); they
 * stay unsent.
 */
export function publishAlerts(store: OutboxStore, publisher: Publisher, events: AlerterEvents) {
  return async function publishAlerts(): Promise<number> {
    let refused = 0;
    for (;;) {
      const alerts = await store.unsent(AT_A_TIME);
      const wanted = alerts.flatMap((alert) => [
        ...(alert.firing_sent ? [] : [{ alert, state: 'firing' as const }]),
        ...(alert.state === 'resolved' ? [{ alert, state: 'resolved' as const }] : []),
      ]);
      if (wanted.length === 0) return refused;
      const failures = await publisher.publish(wanted.map(({ alert, state }) => alertMessage(alert, state)));
      const sent = wanted.filter((_, index) => failures.get(index) !== 'nacked');
      refused = wanted.length - sent.length;
      const unheard = [...failures.values()].filter((failure) => failure === 'unroutable').length;
      events.alertMessage('delivered', sent.length - unheard);
      events.alertMessage('unheard', unheard);
      events.alertMessage('refused', refused);
      const ids = (state: 'firing' | 'resolved'): string[] =>
        sent.filter((message) => message.state === state).map(({ alert }) => alert.id);
      if (sent.length > 0) await store.markSent(ids('firing'), ids('resolved'));
      if (refused > 0 || alerts.length < AT_A_TIME) return refused;
    }
  };
}
