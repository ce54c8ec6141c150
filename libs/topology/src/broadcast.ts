import type { ReadingClass } from './rabbitmq.ts';

/**
 * What is said to every edge and gateway on `weir.broadcast`. Whoever is away misses it, so nothing depends on one:
 * each of them only makes something known earlier.
 */
export type BroadcastMessage =
  /** The hybrid logical clock of an edge (`<edge id>/<spool id>`), every second. */
  | { readonly kind: 'clock'; readonly edge: string; readonly hlc: string }
  /** An edge is about to hand a command to its device: the others that hold it let it go. */
  | { readonly kind: 'command-taken'; readonly edge: string; readonly id: string }
  /** Device credentials changed: edges read them at once. */
  | { readonly kind: 'credentials' }
  /** An alerter watches devices, every two seconds: edges tell it often how far they are. */
  | { readonly kind: 'watching' }
  /**
   * The lag of the windows grows: each edge sends at most so many readings of the class a second to Kafka (null: as
   * many as it likes) for so long, milliseconds, from hearing it on.
   */
  | {
      readonly kind: 'throttle';
      readonly class: ReadingClass;
      readonly ratePerSecond: number | null;
      readonly forMs: number;
    }
  /** Somebody changed what the API shows: gateways answer no question that begins with `what` from the cache. */
  | { readonly kind: 'changed'; readonly what: string };
