import type { DurableFile, DurableFs } from '@weir/flow';
import { AT_THE_BEGINNING, CursorFile, type Saved } from './cursor.ts';
import { openIdentity } from './identity.ts';
import { Gathering, RecentMemory } from './memory.ts';
import { nodeFs } from './node-fs.ts';
import { CursorReader, type ReaderHost } from './reader.ts';
import { recoverTail } from './recovery.ts';
import { Retention } from './retention.ts';
import { type Segment, SegmentList } from './segment.ts';
import { DESTINATIONS, type Destination, type SpoolOptions } from './types.ts';

const SAVE_MS = 250;

/** A spool's parts, recovered and ready. */
export interface Parts {
  readonly fs: DurableFs;
  readonly id: string;
  readonly segments: SegmentList;
  readonly memory: RecentMemory;
  readonly gathering: Gathering;
  readonly cursors: CursorFile;
  readonly active: { segment: Segment; file: DurableFile };
  readonly nextN: number;
  /** Readings and refused messages so far. */
  readonly counted: number;
  /** There were no segments. */
  readonly isNew: boolean;
  /** Of the records in the newest segment, epoch milliseconds; 0: none. */
  readonly newestAt: number;
  readonly pendingLimit: number;
  readonly segmentBytes: number;
  readers(host: Pick<ReaderHost, 'damaged' | 'moved'>): Record<Destination, CursorReader>;
  retention(
    readers: Record<Destination, CursorReader>,
    counted: () => number,
    freed: () => void,
    failed: (error: Error) => void,
  ): Retention;
}

/** Opens the folder: identity, cursors, the tail of the newest segment, a new segment to write to. */
export async function assemble(options: SpoolOptions): Promise<Parts> {
  const { dir, fs = nodeFs, maxBytes, memoryBytes } = options;
  await fs.mkdir(dir);
  const segments = new SegmentList(fs, dir);
  await segments.load();
  const isNew = segments.last === undefined;
  const identity = await openIdentity(fs, dir, !isNew);
  const cursors = new CursorFile(fs, dir, identity.id);
  const saved = await cursors.load();
  if (saved === null) options.onCorrupt?.({ file: cursors.path, position: 0, bytes: 0, records: 0 });
  const start: Saved = saved ?? AT_THE_BEGINNING;
  const recovered = await recoverTail(fs, identity, segments, options);
  const nextN = Math.max(recovered.nextN, ...DESTINATIONS.map((name) => start[name] + 1));
  // A new segment for each start: its name keeps n from being given out again, whatever happens to the old tail.
  const last = segments.last;
  const active =
    last?.bytes === 0 && last.firstN === nextN ? await segments.reuse(last) : await segments.create(nextN);
  const pendingLimit = Math.min(memoryBytes / 4, maxBytes / 8);
  const memory = new RecentMemory(memoryBytes - pendingLimit);
  const shared = { fs, key: identity, segments, memory };
  return {
    fs,
    id: identity.id,
    segments,
    memory,
    gathering: new Gathering(identity),
    cursors,
    active,
    nextN,
    // What the disk lost at the end of the last segment is missing from then on, and not given out again.
    counted: Math.max(recovered.counted ?? 0, start.counted ?? 0),
    isNew,
    newestAt: recovered.newestAt,
    pendingLimit,
    segmentBytes: Math.min(options.segmentBytes, maxBytes / 8),
    readers: (host) => ({
      kafka: new CursorReader({ ...shared, ...host }, 'kafka', start),
      rabbitmq: new CursorReader({ ...shared, ...host }, 'rabbitmq', start),
      critical: new CursorReader({ ...shared, ...host }, 'critical', start),
    }),
    retention: (readers, counted, freed, failed) =>
      new Retention({
        ...shared,
        dir,
        cursors,
        readers,
        counted,
        saveMs: options.saveMs ?? SAVE_MS,
        freed,
        failed,
        ...(options.onDropped === undefined ? {} : { onDropped: options.onDropped }),
      }),
  };
}
