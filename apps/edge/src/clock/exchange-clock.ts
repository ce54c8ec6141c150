import type { Broadcast } from '@weir/connect-rabbitmq';
import type { EdgeClock } from './edge-clock.ts';

const EVERY_MS = 1_000;

export interface ClockExchangeOptions {
  readonly clock: EdgeClock;
  /** `<edge id>/<spool id>` */
  readonly edge: string;
  readonly broadcast: Broadcast;
  /** The clock of another edge is too far ahead to be taken. */
  readonly onIgnored: (edge: string) => void;
}

/**
 * Tells all edges the clock of this one every second, and learns theirs, so that their stamps stay together and what
 * one edge says after it heard of another's event is stamped later. Without RabbitMQ each edge goes on by itself, and
 * readings never wait for this. Returns how to end it.
 */
export function exchangeClocks({ clock, edge, broadcast, onIgnored }: ClockExchangeOptions): () => void {
  broadcast.hear('clock', (message) => {
    if (message.edge !== edge && !clock.merge(message.hlc)) onIgnored(String(message.edge));
  });
  let isTelling = false;
  // One message on its way at a time; a broker that is away is tried again with the next.
  const tell = (): void => {
    if (isTelling) return;
    isTelling = true;
    broadcast
      .tell({ kind: 'clock', edge, hlc: clock.stamp(clock.now()) })
      .catch(() => undefined)
      .finally(() => {
        isTelling = false;
      });
  };
  const timer = setInterval(tell, EVERY_MS);
  timer.unref();
  return () => clearInterval(timer);
}
