import { TABLES } from '@weir/topology';
import type { Runner } from './database.ts';

/** Who sends dead letters again, which ones, and why. */
export interface ReplayTask {
  /** UUID. */
  readonly id: string;
  readonly by: string;
  readonly why: string;
  readonly filter: Readonly<Record<string, string>>;
}

export async function recordReplay(runner: Runner, { id, by, why, filter }: ReplayTask): Promise<void> {
  await runner.query(
    'recording the replay',
    `INSERT INTO ${TABLES.deadLetterReplays} (id, by, why, filter) VALUES ($1, $2, $3, $4)`,
    [id, by, why, JSON.stringify(filter)],
  );
}

export async function finishReplay(
  runner: Runner,
  id: string,
  sent: { readonly letters: number; readonly readings: number },
): Promise<void> {
  await runner.query(
    'recording the end of the replay',
    `UPDATE ${TABLES.deadLetterReplays} SET finished_at = now(), letters = $2, readings = $3 WHERE id = $1`,
    [id, sent.letters, sent.readings],
  );
}
