import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { errorMessage } from '@weir/flow';

export interface UntilOptions {
  readonly deadlineMs: number;
  readonly everyMs: number;
}

/** Asks again and again until there is an answer; undefined when the deadline passes first. */
export async function until<T>(
  ask: () => T | undefined | Promise<T | undefined>,
  { deadlineMs, everyMs }: UntilOptions,
): Promise<T | undefined> {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined || Date.now() >= end) return answer;
    await delay(everyMs);
  }
}

/** The reason why a probe fails, undefined when it succeeds. */
export async function whyNotReady(probe: () => Promise<void>): Promise<string | undefined> {
  try {
    await probe();
    return undefined;
  } catch (error) {
    const cause =
      error instanceof Error && error.cause !== undefined ? ` (${errorMessage(error.cause)})` : '';
    return `${errorMessage(error).split('\n', 2).join(' ').trim()}${cause}`;
  }
}

const TAIL_BYTES = 4096;
const TAIL_LINES = 15;

/** The last lines of a log, indented; the empty text when there is none. */
export function logTail(path: string): string {
  try {
    const file = openSync(path, 'r');
    try {
      const { size } = fstatSync(file);
      const bytes = Buffer.alloc(Math.min(size, TAIL_BYTES));
      readSync(file, bytes, 0, bytes.length, size - bytes.length);
      const lines = bytes.toString('utf8').trimEnd().split('\n').slice(-TAIL_LINES);
      return lines.map((line) => `    ${line}`).join('\n');
    } finally {
      closeSync(file);
    }
  } catch {
    return '';
  }
}
