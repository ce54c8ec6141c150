import { setTimeout as delay } from 'node:timers/promises';
import type { SpoolReader } from '../spool/index.ts';

/** What the watch tells. */
export interface BindingEvents {
  /** Sentences; the forwarder waits until they are back. */
  bindingsMissing(differences: readonly string[]): void;
  /** What was sent since the bindings were last seen is sent again. */
  sentAgain(records: number, why: 'bindings were missing' | 'bindings were not seen for a while'): void;
  bindingsUnseen(error: unknown): void;
  /** They went by while nobody saw the bindings, and the spool has no room to keep them longer. */
  unverified(records: number): void;
}

export interface WatchOptions {
  /** Of every lane to the broker. */
  readonly readers: readonly SpoolReader[];
  /** Bindings that the broker lacks, a sentence each. Throws when it cannot be asked. */
  readonly missing: () => Promise<readonly string[]>;
  /** Puts them back. */
  readonly repair: () => Promise<void>;
  /** How long the bindings must have been missing before they are put back. */
  readonly repairDelayMs: number;
  readonly everyMs: number;
  /** Bytes that the spool may keep, for any lane, of what was sent but not verified. */
  readonly limitBytes: number;
  readonly events: BindingEvents;
  readonly stopping: AbortSignal;
}

export interface BindingWatch {
  /** Resolves when `ready` has, and records may be sent; false: those in hand are not to be sent, read again. */
  admit(ready?: Promise<void>): Promise<boolean>;
  /** One last look, so that nothing need be sent again by the next start. Call it when nothing more is sent. */
  stop(): Promise<void>;
}

/**
 * RabbitMQ confirms a message that any queue took. When the binding of a durable queue is missing while some dashboard
 * listens, the confirm says nothing about the durable queue. So the spool keeps what was sent until the bindings were
 * seen before and after it. When they are missing, or nobody could look for a while, everything since is sent again;
 * while they are missing nothing is sent, so that no consumer sees newer readings before the older ones.
 *
 * Two looks prove what lies between them when no more than `repairDelayMs` does: bindings that come back sooner than
 * that were put back by hand.
 */
export function watchBindings(options: WatchOptions): BindingWatch {
  const { readers, events, repairDelayMs, everyMs, limitBytes, stopping } = options;
  /** When the last look that found everything began; null when what was sent since proves nothing. */
  let seenAt: number | null = null;
  let missingSince: number | null = null;
  let looked = false;
  let rewinds = 0;
  const waiting = new Set<() => void>();
  const isOpen = (): boolean => looked && missingSince === null;
  const held = (): number => readers.reduce((sum, reader) => sum + reader.held.records, 0);
  const wake = (): void => {
    for (const resolve of waiting) resolve();
    waiting.clear();
  };

  const sendAgain = (why: Parameters<BindingEvents['sentAgain']>[1]): void => {
    const records = held();
    rewinds++;
    for (const reader of readers) reader.rewind();
    if (records > 0) events.sentAgain(records, why);
  };

  const look = async (): Promise<void> => {
    const began = performance.now();
    const marks = readers.map((reader) => ({ reader, mark: reader.mark() }));
    const release = (): void => {
      for (const { reader, mark } of marks) reader.release(mark);
    };
    try {
      const differences = await options.missing();
      const now = performance.now();
      if (differences.length === 0) {
        if (missingSince !== null) sendAgain('bindings were missing');
        else if (seenAt !== null && now - seenAt < repairDelayMs) release();
        else if (held() > 0) sendAgain('bindings were not seen for a while');
        missingSince = null;
        seenAt = began;
      } else {
        seenAt = null;
        missingSince ??= now;
        events.bindingsMissing(differences);
        if (now - missingSince >= repairDelayMs) await options.repair();
      }
    } catch (error) {
      events.bindingsUnseen(error);
    }
    if (missingSince === null && readers.some((reader) => reader.held.bytes > limitBytes)) {
      events.unverified(held());
      release();
    }
    looked = true;
    if (isOpen()) wake();
  };

  for (const reader of readers) reader.hold();
  stopping.addEventListener('abort', wake, { once: true });
  const watching = (async () => {
    while (!stopping.aborted) {
      await look();
      await delay(everyMs, undefined, { signal: stopping }).catch(() => undefined);
    }
  })();

  return {
    admit: async (ready) => {
      const before = rewinds;
      if (ready !== undefined) await ready;
      if (!isOpen()) {
        await new Promise<void>((resolve) => {
          waiting.add(resolve);
          if (stopping.aborted) wake();
        });
      }
      return !stopping.aborted && rewinds === before;
    },
    stop: async () => {
      await watching;
      // Another look would prove nothing when the last one found them missing.
      if (missingSince === null && held() > 0) await look();
    },
  };
}
