import { errorMessage } from '@weir/flow';
import type { Output, Terminal } from './output.ts';
import { LiveScreen } from './supervise/screen.ts';
import { untilStopped } from './until-stopped.ts';

export interface WatchOptions<T> {
  readonly ask: () => Promise<T>;
  readonly text: (answer: T) => string;
  /** Time until the next question, milliseconds. */
  readonly waitMs: (answer: T) => number;
}

/**
 * Shows an answer again and again, until Ctrl-C: in place on a terminal, else one after the other; with --json one
 * document a line. Throws when the first question fails; later ones are told and asked again.
 */
export async function watchAnswers<T>(
  terminal: Terminal,
  output: Output,
  { ask, text, waitMs }: WatchOptions<T>,
): Promise<void> {
  const screen = new LiveScreen((drawn) => terminal.out.write(drawn));
  let last: T | null = null;
  await untilStopped(async () => {
    let trouble = '';
    try {
      last = await ask();
    } catch (error) {
      // Who watches goes on watching; only a first question that fails is a mistake.
      if (last === null) throw error;
      trouble = errorMessage(error);
    }
    if (terminal.out.isTTY === true && !output.json)
      screen.draw([...text(last).split('\n'), trouble, 'Ctrl-C ends watching.']);
    else if (trouble !== '') output.note(trouble);
    else output.line(output.json ? JSON.stringify(last) : `${text(last)}\n`);
    return waitMs(last);
  });
}
