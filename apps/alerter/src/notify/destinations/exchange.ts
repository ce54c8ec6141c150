import type { OutgoingMessage, Publisher } from '@weir/connect-rabbitmq';
import { WeirError } from '@weir/flow';
import { EXCHANGES } from '@weir/topology';
import type { Message } from '../message.ts';
import type { Destination } from './destination.ts';

/** One change on the headers exchange: people bind by severity, site, kind, state and rule. */
function outgoing({ id, alerts, test }: Message): OutgoingMessage[] {
  return alerts.map(({ change, alert }) => ({
    exchange: EXCHANGES.alerts.name,
    key: '',
    contentType: 'application/json',
    messageId: id,
    headers: {
      severity: alert.severity,
      site: alert.site,
      kind: alert.kind,
      state: change,
      rule: alert.rule,
      ...(test ? { test: true } : {}),
    },
    body: Buffer.from(JSON.stringify(alert)),
  }));
}

/**
 * `weir.alerts`. A change that no queue is bound for counts as delivered: the row is the record, the exchange is for
 * whoever listens.
 */
export function alertsExchange(publisher: Publisher): Destination {
  return {
    atATime: 200,
    parallel: 1,
    async deliver(messages: readonly Message[]) {
      const failures = await publisher.publish(messages.flatMap(outgoing));
      return messages.map(({ id }, index) => {
        const failure = failures.get(index);
        if (failure === 'nacked')
          return new WeirError(
            'WEIR_REJECTED',
            'transient',
            `publishing ${id}: a queue on weir.alerts is full`,
          );
        return failure === 'unroutable' ? 'unheard: no queue is bound for it' : 'confirmed';
      });
    },
    close: async () => {},
  };
}
