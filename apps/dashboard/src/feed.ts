import { effect, signal, untracked } from '@preact/signals';
import type { LiveReading } from '@weir/api';
import { type LiveState, watch } from './live.ts';
import { device, mergeAlert } from './state.ts';

type Listener = (readings: readonly LiveReading[]) => void;

export const feedState = signal<LiveState>('connecting');
/** Readings that the gateway dropped for this page since the device was chosen. */
export const feedDropped = signal(0);

const listeners = new Set<Listener>();
export function onReadings(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Watches the chosen device; returns a function that ends it. */
export function startFeed(): () => void {
  return effect(() => {
    const chosen = device.value;
    if (chosen === null) return undefined;
    untracked(() => {
      feedDropped.value = 0;
    });
    return untracked(() =>
      watch(chosen.site, chosen.id, {
        readings: (readings, dropped) => {
          if (dropped > 0) feedDropped.value = feedDropped.peek() + dropped;
          for (const listener of listeners) listener(readings);
        },
        alert: mergeAlert,
        state: (state) => {
          feedState.value = state;
        },
      }),
    );
  });
}
