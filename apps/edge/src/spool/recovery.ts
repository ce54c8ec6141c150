import type { DurableFs } from '@weir/flow';
import type { FrameKey } from './frame.ts';
import { HEADER_BYTES } from './frame.ts';
import { type Damage, SegmentScan } from './scan.ts';
import type { Segment, SegmentList } from './segment.ts';
import type { SpoolEvents } from './types.ts';

const BATCH_BYTES = 1 << 20;

export interface SegmentContent {
  readonly lastN: number;
  readonly readings: number;
  /** Newest append, epoch milliseconds; 0: none. */
  readonly newestAt: number;
  /** End of the last good frame. */
  readonly goodBytes: number;
  readonly damages: readonly Damage[];
}

/** Reads a whole segment, checking every frame. */
export async function inspectSegment(
  fs: DurableFs,
  key: FrameKey,
  segment: Segment,
): Promise<SegmentContent> {
  const damages: Damage[] = [];
  const scan = new SegmentScan(await fs.open(segment.path, 'read'), {
    key,
    from: 0,
    lastN: segment.firstN - 1,
    skipTo: 0,
    onDamage: (damage) => damages.push(damage),
  });
  let readings = 0;
  let newestAt = 0;
  try {
    for (;;) {
      const records = await scan.next(segment.bytes, BATCH_BYTES);
      if (records.length === 0) break;
      for (const { count, at } of records) {
        readings += count;
        newestAt = Math.max(newestAt, at);
      }
      if (scan.position >= segment.bytes) break;
    }
  } finally {
    await scan.close();
  }
  const last = damages.at(-1);
  const goodBytes = last !== undefined && last.nextN === undefined ? last.from : segment.bytes;
  return { lastN: scan.seenN, readings, newestAt, goodBytes, damages };
}

/**
 * Makes the newest segment whole after a crash: cuts a torn tail behind its last good frame, and makes what is left
 * durable before anyone reads it. Returns the lowest n that may be given out, and the newest append time.
 *
 * Only the newest segment can be torn: a segment begins after its predecessor's last group was durable.
 */
export async function recoverTail(
  fs: DurableFs,
  key: FrameKey,
  segments: SegmentList,
  events: Pick<SpoolEvents, 'onTornTail'>,
): Promise<{ nextN: number; newestAt: number }> {
  const segment = segments.last;
  if (segment === undefined) return { nextN: 1, newestAt: 0 };
  const { lastN, readings, newestAt, goodBytes } = await inspectSegment(fs, key, segment);
  const cut = segment.bytes - goodBytes;
  segment.lastN = lastN;
  segment.readings = readings;
  const file = await fs.open(segment.path, 'write');
  try {
    if (cut > 0) await file.truncate(goodBytes);
    // A killed process leaves bytes that can be read but are not durable. A forwarder must never send those: after
    // a power cut their positions would be given out again, and consumers would take the new records for old ones.
    await file.datasync();
  } finally {
    await file.close();
  }
  if (cut === 0) return { nextN: lastN + 1, newestAt };
  segments.cut(segment, goodBytes);
  events.onTornTail?.({ file: segment.path, position: goodBytes, bytes: cut });
  // If the tail was not torn but damaged later, its records may have been sent: skip as many as it could hold.
  return { nextN: lastN + 1 + Math.ceil(cut / HEADER_BYTES), newestAt };
}
