import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { WeirError } from '@weir/flow';
import { MAX_COMMAND_MS } from '@weir/topology';
import { ClassicLevel } from 'classic-level';

const FORGET_AFTER_MS = 3_600_000;

/**
 * Which commands were handed to their device, here or by another edge, or were about to be: none of them is handed over
 * again.
 */
export interface CommandJournal {
  has(id: string): boolean;
  /** Resolves when it is on disk (fsync). `deadline`: epoch milliseconds; an hour later it is forgotten. */
  take(id: string, deadline: number): Promise<void>;
  /** Another edge took it. */
  takenElsewhere(id: string): void;
  close(): Promise<void>;
}

export async function openCommandJournal(dir: string, now: () => number = Date.now): Promise<CommandJournal> {
  const location = join(dir, 'commands');
  await mkdir(location, { recursive: true });
  const db = new ClassicLevel<string, string>(location);
  const taken = new Map<string, number>();
  const forget = (): string[] => {
    const old = [...taken].filter(([, deadline]) => deadline + FORGET_AFTER_MS < now()).map(([id]) => id);
    for (const id of old) taken.delete(id);
    return old;
  };
  try {
    await db.open();
    for await (const [id, deadline] of db.iterator()) taken.set(id, Number(deadline));
    await db.batch(forget().map((key) => ({ type: 'del', key })));
  } catch (error) {
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      `The journal of commands ${location} cannot be opened. Move the folder away to start without it: a command that a device had just before the stop may then reach it again.`,
      error,
    );
  }
  const timer = setInterval(() => {
    const old = forget();
    if (old.length > 0) db.batch(old.map((key) => ({ type: 'del', key }))).catch(() => undefined);
  }, FORGET_AFTER_MS);
  timer.unref();
  return {
    has: (id) => taken.has(id),
    take: async (id, deadline) => {
      await db.put(id, String(deadline), { sync: true });
      taken.set(id, deadline);
    },
    takenElsewhere: (id) => {
      const deadline = now() + MAX_COMMAND_MS;
      taken.set(id, deadline);
      // not waited for: it only matters when this edge is killed and the device comes here before the deadline
      db.put(id, String(deadline)).catch(() => undefined);
    },
    close: async () => {
      clearInterval(timer);
      await db.close();
    },
  };
}
