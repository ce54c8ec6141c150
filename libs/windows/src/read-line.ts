import type { Envelope, Reading, Refusal } from '@weir/reading';
import { parseLine } from './line.ts';
import { Devices } from './names.ts';

/** One line of the log on its own, as a fold reads it. Throws an `isLineError` when a fold would bury it. */
export function readLine(line: string): {
  readonly envelope: Envelope;
  readonly readings: readonly Reading[];
  /** Elements of the payload that hold no reading. */
  readonly refusals: readonly Refusal[];
} {
  const { envelope, interpretation } = parseLine(line, new Devices());
  return { envelope, ...interpretation };
}
