import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Isolated } from '@weir/testkit';

/** The wall clock of every app that is started with `env`, as an administrator or a time service would set it. */
export interface HostClock {
  readonly env: Readonly<Record<string, string>>;
  /** Sets it this far from the true time, at once. */
  set(aheadMs: number): void;
}

/**
 * The step is made where all code of an app reads the wall clock, in `Date` (set-clock.ts); the monotonic clock goes
 * on, as it does when a host's clock is set. libfaketime does the same one floor lower and is not on every machine.
 */
export function hostClock(space: Isolated): HostClock {
  const file = join(space.folder, 'host-clock');
  const preload = pathToFileURL(join(import.meta.dirname, 'set-clock.ts')).href;
  const set = (aheadMs: number): void => writeFileSync(file, String(aheadMs));
  set(0);
  return { env: { NODE_OPTIONS: `--import ${preload}`, TEST_CLOCK_FILE: file }, set };
}
