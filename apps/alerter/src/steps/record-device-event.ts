import type { Delivery, Settlement } from '@weir/connect-rabbitmq';
import { WeirError } from '@weir/flow';
import type { AlerterEvents } from '../events.ts';

/** Counts what devices do (connected, disconnected, will, own events). */
export function recordDeviceEvent(events: AlerterEvents) {
  return async function recordDeviceEvent(delivery: Delivery): Promise<Settlement> {
    let kind: unknown;
    try {
      kind = (JSON.parse(delivery.body.toString()) as { kind?: unknown } | null)?.kind;
    } catch {
      kind = undefined;
    }
    if (typeof kind !== 'string') {
      const doing = `decoding a message of ${delivery.queue} (${delivery.key})`;
      const failed = new WeirError('WEIR_DECODE', 'data', `${doing}: it is not an event in JSON`);
      events.messageRejected(failed);
      return { failed };
    }
    events.deviceEvent(kind);
    return 'ack';
  };
}
