import { setTimeout as delay } from 'node:timers/promises';
import { errorMessage, fullJitter, isTransient, WeirError } from '@weir/flow';
import { rateLimited } from '@weir/observe';
import { openAdmin } from './admin.ts';
import { Session } from './session.ts';
import type { Admin, Consumer, ConsumerEvent, ConsumerOptions } from './types.ts';

/** Short, because an attempt is cheap: this is most of the time between a broker's return and the first record. */
const BACKOFF = { baseMs: 100, maxMs: 1_500 };

/**
 * A group member that keeps its own places: it reads where the app says, hands on in order, and commits only when
 * asked. Outages of the broker are bridged without end, with full jitter; anything unknown goes to `onFatal`.
 */
export function openConsumer(options: ConsumerOptions): Consumer {
  const aborted = new AbortController();
  const limit = rateLimited();
  let session: Session | null = null;
  let admin: Admin | null = null;
  let supervising: Promise<void> | null = null;
  let stopping: Promise<void> | null = null;
  let lastError: Error | null = null;
  let away = false;

  const emit = (event: ConsumerEvent): void => {
    if (event.kind === 'assigned') {
      lastError = null;
      if (away) options.onEvent?.({ kind: 'reconnected' });
      away = false;
    }
    options.onEvent?.(event);
  };

  const lost = (error: Error): void => {
    lastError = error;
    if (!away) options.onEvent?.({ kind: 'disconnected', error });
    away = true;
    limit(error.message.slice(0, 60), (suppressed) => {
      options.log.warn({ suppressed, group: options.groupId }, `${errorMessage(error)}; trying again`);
    });
  };

  const supervise = async (): Promise<void> => {
    let formerMember = '';
    for (let attempt = 0; !aborted.signal.aborted; attempt++) {
      // With each session new connections of every kind: the ones before may be silent without an error.
      admin = openAdmin(options);
      session = new Session(options, admin, emit, formerMember);
      session.run().catch(() => undefined); // its failures come through `ended`
      const error = await Promise.race([
        session.ended,
        aborted.signal.aborted ? null : whenAborted(aborted.signal),
      ]);
      if (error === null) return;
      const { memberId } = session;
      if (memberId !== '') formerMember = memberId;
      await session.abandon();
      session = null;
      void admin.close();
      if (!isTransient(error)) {
        lastError = error;
        options.onFatal(error);
        return;
      }
      if (memberId !== '') attempt = 0;
      lost(error);
      await delay(fullJitter(attempt, BACKOFF), undefined, {
        signal: aborted.signal,
      }).catch(() => undefined);
    }
  };

  const stop = async (): Promise<void> => {
    aborted.abort();
    await supervising;
    await session?.stop();
    session = null;
    await admin?.close();
  };

  return {
    start() {
      supervising ??= supervise().catch((error: unknown) => {
        options.onFatal(error instanceof Error ? error : new Error(String(error)));
      });
      return Promise.resolve();
    },
    stop() {
      stopping ??= stop();
      return stopping;
    },
    async commit(offsets) {
      if (session === null) {
        throw new WeirError(
          'WEIR_CONNECTION_LOST',
          'transient',
          `committing offsets of group ${options.groupId}: not connected`,
          lastError,
        );
      }
      return session.commit(offsets);
    },
    get assigned() {
      return session?.assigned ?? new Set<number>();
    },
    get healthy() {
      return session?.healthy === true;
    },
    get lastError() {
      return lastError;
    },
  };
}

function whenAborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(null), { once: true }));
}
