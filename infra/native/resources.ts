import { existsSync, readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { WeirError } from '@weir/flow';

const GIB = 2 ** 30;
/** All servers together; a part of them needs its part. */
const MEMORY_NEEDED = 3 * GIB;

/** Bytes of memory that new work can have without swapping, from the text of `/proc/meminfo`. */
export function availableMemory(meminfo: string): number {
  const kib = /^MemAvailable:\s+(\d+) kB/m.exec(meminfo)?.[1];
  return kib === undefined ? Number.POSITIVE_INFINITY : Number(kib) * 1024;
}

/** Bytes free where `path` is or will be. */
export function freeDisk(path: string): number {
  let existing = path;
  while (!existsSync(existing)) existing = dirname(existing);
  const { bavail, bsize } = statfsSync(existing);
  return bavail * bsize;
}

const gib = (bytes: number): string => `${(bytes / GIB).toFixed(1)} GiB`;

/** Throws WEIR_RESOURCES unless `share` (0 to 1) of what all servers need is available. */
export function requireMemory(
  share: number,
  available = availableMemory(readFileSync('/proc/meminfo', 'utf8')),
): void {
  const needed = MEMORY_NEEDED * share;
  if (available >= needed) return;
  throw new WeirError(
    'WEIR_RESOURCES',
    'fatal',
    `The servers need ${gib(needed)} of free memory and ${gib(available)} is available: ` +
      'close other programs or give the machine more memory.',
  );
}

/** Throws WEIR_RESOURCES unless `needGiB` are free on the disk that holds `path`. */
export function requireDisk(path: string, needGiB: number, free = freeDisk(path)): void {
  if (free >= needGiB * GIB) return;
  throw new WeirError(
    'WEIR_RESOURCES',
    'fatal',
    `${path} needs ${needGiB} GiB of free disk and has ${gib(free)}: free some space, ` +
      'or keep what Weir builds on another disk (XDG_CACHE_HOME).',
  );
}
