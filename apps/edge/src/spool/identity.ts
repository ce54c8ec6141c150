import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type DurableFs, WeirError } from '@weir/flow';
import { readWhole, replaceFile } from './files.ts';
import type { FrameKey } from './frame.ts';

/** Who a spool is; kept in its folder for as long as it holds segments. */
export interface Identity extends FrameKey {
  /** A new spool is a new source of positions: consumers keep the highest n for each id. */
  readonly id: string;
}

const FILE = 'spool.json';

/** The identity in the folder; a new one when there are no segments, whose positions it would have to continue. */
export async function openIdentity(fs: DurableFs, dir: string, hasSegments: boolean): Promise<Identity> {
  const path = join(dir, FILE);
  if (hasSegments) {
    const content = await readWhole(fs, path);
    const identity = content === undefined ? undefined : parse(content);
    if (identity === undefined) {
      throw new WeirError(
        'WEIR_SPOOL_CORRUPT',
        'fatal',
        `opening the spool: ${path} is ${content === undefined ? 'missing' : 'damaged'}, and without it the segments cannot be checked. Bring it back, or move ${dir} aside to begin an empty spool (what waits in it will then not be forwarded).`,
      );
    }
    return identity;
  }
  const random = randomBytes(16);
  const identity: Identity = {
    id: random.toString('hex', 0, 6),
    magic: random.readUInt32LE(8),
    salt: random.readUInt32LE(12),
  };
  await replaceFile(fs, path, `${JSON.stringify({ v: 1, ...identity })}\n`);
  await fs.syncDir(dir);
  return identity;
}

function parse(content: Buffer): Identity | undefined {
  try {
    const value = JSON.parse(content.toString('utf8')) as Identity & { v: number };
    const known =
      value.v === 1 &&
      typeof value.id === 'string' &&
      Number.isInteger(value.magic) &&
      Number.isInteger(value.salt);
    return known ? { id: value.id, magic: value.magic, salt: value.salt } : undefined;
  } catch {
    return undefined;
  }
}
