import assert from 'node:assert/strict';
import { Spool } from './spool.ts';
import type { SpoolOptions } from './types.ts';

export const DIR = '/spool';

/** A small spool, which is soon full. */
export function open(options: Partial<SpoolOptions> & Pick<SpoolOptions, 'fs'>): Promise<Spool> {
  return Spool.open({
    dir: DIR,
    maxBytes: 64_000,
    segmentBytes: 4_000,
    memoryBytes: 32_000,
    whenFull: 'block',
    saveMs: 1,
    onFatal: (error) => assert.fail(error),
    ...options,
  });
}
