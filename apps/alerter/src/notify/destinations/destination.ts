import { WeirError } from '@weir/flow';
import type { Message } from '../message.ts';

/** Where messages go. It knows its protocol and nothing else: retries, breaker and deadline are the lane's. */
export interface Destination {
  /** Messages that one call of `deliver` takes. */
  readonly atATime: number;
  /** Calls of `deliver` at a time. */
  readonly parallel: number;
  /**
   * Resolves, for each message, with what the receiver said, or with the error with which it refused that one. Throws
   * a `WeirError` when none was delivered: transient (`RetryLater` when the receiver says when), or `data` when the
   * receiver will never take these.
   */
  deliver(messages: readonly Message[], signal: AbortSignal): Promise<readonly (string | WeirError)[]>;
  /** Milliseconds after which a receiver that forgets is told again of all that fires. */
  readonly refreshMs?: number;
  close(): Promise<void>;
}

/** The receiver asks to be left alone for a while. */
export class RetryLater extends WeirError {
  readonly afterMs: number;
  constructor(message: string, afterMs: number) {
    super('WEIR_REJECTED', 'transient', message);
    this.afterMs = afterMs;
  }
}
