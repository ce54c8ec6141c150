import { WeirError } from '@weir/flow';
import { atMost, within } from './client.ts';
import { mapError } from './errors.ts';

const CLOSE_DEADLINE_MS = 3_000;

/** A connection that calls share: opened with the first one, and anew with the next one after a failure. */
export interface HeldConnection<Connection> {
  /** Rejects with a `WeirError` that says what was being done; after the deadline, too. */
  using<T>(doing: string, work: (connection: Connection) => Promise<T>): Promise<T>;
  readonly isClosed: boolean;
  /** Later calls are refused. */
  close(): Promise<void>;
}

export interface HoldOptions<Connection> {
  /** Stands in the refusal after `close`. */
  readonly what: string;
  /** Has a deadline of its own. */
  readonly open: () => Promise<Connection>;
  /** For each call, in milliseconds: kafkajs can wait for ever on a connection that broke at the wrong moment. */
  readonly deadlineMs: number;
}

export function holdConnection<Connection extends { disconnect(): Promise<void> }>({
  what,
  open,
  deadlineMs,
}: HoldOptions<Connection>): HeldConnection<Connection> {
  let opening: Promise<Connection> | null = null;
  let closed = false;
  const discard = async (): Promise<void> => {
    const old = opening;
    opening = null;
    if (old !== null)
      await atMost(
        CLOSE_DEADLINE_MS,
        old.then((connection) => connection.disconnect()),
      );
  };
  return {
    using: async (doing, work) => {
      if (closed) throw new WeirError('WEIR_STATE', 'fatal', `${doing}: ${what} is closed`);
      opening ??= open();
      try {
        const connection = await opening;
        return await within(
          deadlineMs,
          work(connection),
          () => new WeirError('WEIR_TIMEOUT', 'transient', `${doing}: no answer in ${deadlineMs / 1_000} s`),
        );
      } catch (error) {
        await discard();
        throw mapError(doing, error);
      }
    },
    get isClosed() {
      return closed;
    },
    close: async () => {
      closed = true;
      await discard();
    },
  };
}
