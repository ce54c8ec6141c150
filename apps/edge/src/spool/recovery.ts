import type { DurableFs } from '@weir/flow';
import { countedBy } from '@weir/reading';
import type { FrameKey } from './frame.ts';
import { HEADER_BYTES } from './frame.ts';
import { type Damage, SegmentScan } from './scan.ts';
import { countCritical, noCounts, type Segment, type SegmentCounts, type SegmentList } from './segment.ts';
import type { SpoolEvents } from './types.ts';

const BATCH_BYTES = 1 << 20;

export interface SegmentContent {
  readonly lastN: number;
  readonly counts: SegmentCounts;
  /** The count (`Envelope.k`) behind the last record; null: no line tells. */
  readonly counted: number | null;
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
    criticalOnly: false,
    onDamage: (damage) => damages.push(damage),
  });
  const counts = noCounts();
  let newestAt = 0;
  let counted: number | null = null;
  try {
    for (;;) {
      const records = await scan.next(segment.bytes, BATCH_BYTES);
      if (records.length === 0) break;
      let sinceLine = 0;
      let line: Buffer | null = null;
      for (const { kind, critical, count, at, body } of records) {
        counts.readings += count;
        if (critical) countCritical(counts, count, HEADER_BYTES + body.length);
        newestAt = Math.max(newestAt, at);
        if (kind === 'reading') line = body;
        sinceLine = kind === 'reading' ? 0 : sinceLine + count;
      }
      const told: number | null = line === null ? counted : countedBy(line);
      counted = told === null ? null : told + sinceLine;
      if (scan.position >= segment.bytes) break;
    }
  } finally {
    await scan.close();
  }
  const last = damages.at(-1);
  const goodBytes = last !== undefined && last.nextN === undefined ? last.from : segment.bytes;
  return { lastN: scan.seenN, counts, counted, newestAt, goodBytes, damages };
}

/**
 * Makes the newest segment whole after a crash: cuts a torn tail behind its last good frame, and makes what is left
 * durable before anyone reads it. Returns the lowest n that may be given out, the newest append
 * time, and the count to go on from.
 *
 * Only the newest segment can be torn: a segment begins after its predecessor's last group was durable.
 */
export async function recoverTail(
  fs: DurableFs,
  key: FrameKey,
  segments: SegmentList,
  events: Pick<SpoolEvents, 'onTornTail'>,
): Promise<{ nextN: number; newestAt: number; counted: number | null }> {
  const segment = segments.last;
  if (segment === undefined) return { nextN: 1, newestAt: 0, counted: 0 };
  const { lastN, counts, counted, newestAt, goodBytes } = await inspectSegment(fs, key, segment);
  const cut = segment.bytes - goodBytes;
  segment.lastN = lastN;
  segment.counts = counts;
  const file = await fs.open(segment.path, 'write');
  try {
    if (cut > 0) await file.truncate(goodBytes);
    // A killed process leaves bytes that can be read but are not durable. A forwarder must never send those: after
    // a power cut their positions would be given out again, and consumers would take the new records for old ones.
    await file.datasync();
  } finally {
    await file.close();
  }
  if (cut === 0) return { nextN: lastN + 1, newestAt, counted };
  segments.cut(segment, goodBytes);
  events.onTornTail?.({ file: segment.path, position: goodBytes, bytes: cut });
  // If the tail was not torn but damaged later, its records may have been sent: skip as many as it could hold.
  return { nextN: lastN + 1 + Math.ceil(cut / HEADER_BYTES), newestAt, counted };
}
