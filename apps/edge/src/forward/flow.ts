import { setTimeout as delay } from 'node:timers/promises';
import type { Note, SpoolReader, SpoolRecord } from '../spool/index.ts';
import { StoppedError } from './persist.ts';
import { Round } from './pressure.ts';

/** Where records go. */
export interface Sink {
  /**
   * Resolves when the far side has all of them, with what is to be saved with the cursor behind them. Throws
   * `StoppedError` when the stop came first.
   */
  deliver(records: readonly SpoolRecord[], stopping: AbortSignal): Promise<Note | undefined>;
  close(): Promise<void>;
  /** The far side is there, but takes nothing for now. */
  isBlocked(): boolean;
}

export interface ForwardOptions {
  readonly reader: SpoolReader;
  readonly sink: Sink;
  /** Bytes of one round. */
  readonly batchBytes: number;
  /** Least time from one round to the next, unless a round was full. */
  readonly lingerMs: number;
  readonly stopping: AbortSignal;
  readonly round?: Round;
  /** Resolves when the records in hand may be sent; false: they will be read again. */
  readonly admit?: (records: readonly SpoolRecord[], stopping: AbortSignal) => Promise<boolean>;
}

/**
 * The way from the spool to one destination: read, deliver, commit, one round at a time. The cursor moves only over
 * what arrived, so whatever ends this, the next start goes on where it was.
 */
export async function forward(options: ForwardOptions): Promise<void> {
  const { reader, sink, batchBytes, lingerMs, stopping, admit, round = new Round() } = options;
  while (!stopping.aborted) {
    const began = performance.now();
    const records = await reader.next(batchBytes, stopping);
    const last = records.at(-1);
    if (last === undefined) return;
    round.bytes = bytesOf(records);
    if (admit !== undefined && !(await admit(records, stopping))) continue;
    let note: Note | undefined;
    try {
      note = await round.time.during('sink', () => sink.deliver(records, stopping));
    } catch (error) {
      if (error instanceof StoppedError) return;
      throw error;
    }
    const { bytes } = round;
    round.bytes = 0;
    reader.commit(last.n, note);
    const rest = lingerMs - (performance.now() - began);
    if (rest > 0 && bytes < batchBytes / 2) {
      await delay(rest, undefined, { signal: stopping }).catch(() => {}); // the stop cuts it short
    }
  }
}

function bytesOf(records: readonly SpoolRecord[]): number {
  let bytes = 0;
  for (const { body } of records) bytes += body.length;
  return bytes;
}
