import type { Inhibition } from './inhibition.ts';

export type Change = 'firing' | 'acknowledged' | 'resolved';
export type DeliveryState = 'queued' | 'held' | 'sent' | 'dropped' | 'failed';

/** What is to become of telling one notifier of one change. */
export interface Planned {
  readonly state: 'queued' | 'held' | 'dropped';
  readonly reason?: string;
  readonly cause?: string;
  /** Milliseconds from the change until it is sent. */
  readonly waitMs: number;
}

export interface Judgement {
  /** What became of telling this notifier that the alert fires; undefined when it was never to be told. */
  readonly announced: DeliveryState | undefined;
  readonly inhibition: Inhibition | undefined;
  /** How long the change waits for others: of its group, or for an alert that covers it. */
  readonly waitMs: number;
}

/**
 * What becomes of a change. Whoever was told that an alert fires is told of its end, silenced or not, so that nobody
 * is left with an alert that never ends; whoever was not told of its beginning is told of nothing. Undefined: the
 * notifier has nothing to do with it. Pure.
 */
export function planDelivery(
  change: Change,
  { announced, inhibition, waitMs }: Judgement,
): Planned | undefined {
  if (change === 'firing') {
    if (inhibition === undefined) return { state: 'queued', waitMs };
    return { state: 'held', ...inhibition, waitMs };
  }
  if (announced === undefined) return undefined;
  if (announced === 'held' || announced === 'dropped')
    return { state: 'dropped', reason: 'unannounced', waitMs: 0 };
  return { state: 'queued', waitMs: 0 };
}
