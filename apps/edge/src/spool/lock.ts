import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { WeirError } from '@weir/flow';
import { ClassicLevel } from 'classic-level';

const codeOf = (error: unknown): string | undefined => (error as { cause?: { code?: string } }).cause?.code;

/**
 * Keeps every other process, and a second spool of this one, away from `dir` until the returned function is called.
 * A second edge would take the first one's unfinished write for a torn tail and cut it off. The lock is the one of an
 * empty LevelDB, because the operating system lets go of it with the process: nothing stale is left to be judged.
 */
export async function lockFolder(dir: string): Promise<() => Promise<void>> {
  const location = join(dir, 'lock');
  await mkdir(location, { recursive: true });
  const db = new ClassicLevel(location);
  try {
    try {
      await db.open();
    } catch (error) {
      if (codeOf(error) === 'LEVEL_LOCKED') throw error;
      // damaged, say by a power loss: there is nothing in it to be lost
      await ClassicLevel.destroy(location);
      await db.open();
    }
  } catch (error) {
    if (codeOf(error) !== 'LEVEL_LOCKED') throw error;
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      `opening the spool: another edge is using ${dir}. Stop it, or give this one its own edge.spool.dir.`,
      error,
    );
  }
  return () => db.close();
}
