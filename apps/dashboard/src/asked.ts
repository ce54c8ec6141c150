import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { poll } from './polling.ts';
import { sentence } from './state.ts';

export interface Asked<T> {
  readonly value: T | null;
  /** Why the last question failed, as a sentence; the value is then the one before. */
  readonly trouble: string | null;
  /** Asks now. */
  again(): void;
}

/** Asks the gateway now and every `everyMs`; anew, and from nothing, when `key` (what is asked) changes. */
export function useAsked<T>(
  key: string,
  ask: (signal: AbortSignal) => Promise<T>,
  everyMs: number,
): Asked<T> {
  const [state, setState] = useState<{ key: string; value: T | null; trouble: string | null }>({
    key,
    value: null,
    trouble: null,
  });
  const [turn, setTurn] = useState(0);
  const latest = useRef(ask);
  latest.current = ask;
  // `turn` asks the same question once more.
  useEffect(
    () =>
      poll(async (signal) => {
        try {
          const value = await latest.current(signal);
          if (!signal.aborted) setState({ key, value, trouble: null });
        } catch (error) {
          if (!signal.aborted)
            setState((before) => ({
              key,
              value: before.key === key ? before.value : null,
              trouble: sentence(error),
            }));
          throw error;
        }
      }, everyMs),
    [key, turn, everyMs],
  );
  const again = useCallback(() => setTurn((before) => before + 1), []);
  return state.key === key
    ? { value: state.value, trouble: state.trouble, again }
    : { value: null, trouble: null, again };
}
