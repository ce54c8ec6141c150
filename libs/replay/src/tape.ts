import type { LogReader } from '@weir/connect-kafka';
import type { ArchiveReader } from '@weir/connect-minio';
import { errorMessage, retrying, WeirError } from '@weir/flow';
import { splitLines } from '@weir/reading';
import type { ArchiveIndex, Piece } from './archive-index.ts';
import { type LogRange, planStretches, type Stretch } from './plan.ts';

export interface TapeRecord {
  readonly offset: bigint;
  readonly lines: readonly string[];
}

/** Everything that holds records of the readings log. */
export interface Sources {
  readonly archive: ArchiveReader;
  readonly index: ArchiveIndex;
  readonly log: LogReader;
  /** What the log holds, by partition. */
  readonly ranges: ReadonlyMap<number, LogRange>;
}

/** What the reading of a tape brings to light, by offsets of one partition (`to` exclusive). */
export type TapeFinding =
  /** Neither archive nor log has these records, all of which had arrived by then (epoch milliseconds). */
  | { readonly kind: 'lost'; readonly from: bigint; readonly to: bigint; readonly arrivedBy: number }
  /** The archive lacks what the log still has, and has what comes behind. */
  | { readonly kind: 'gap'; readonly from: bigint; readonly to: bigint }
  | { readonly kind: 'unreadable'; readonly key: string; readonly error: string }
  /** The archive has two records of this offset: the topic was made anew, and its archive holds two logs. */
  | { readonly kind: 'two-logs'; readonly from: bigint };

export interface TapeListener {
  found(finding: TapeFinding): void;
  /** Records that come from here next. */
  reading?(stretch: Stretch): void;
}

const FETCH_BYTES = 512 << 10;
const ATTEMPTS = 5;

/**
 * The records of one partition from `from` up to `to` (exclusive), in log order, in batches. The next object is fetched
 * while the caller works, so two are in memory. An object that cannot be read is reported and left out: the log
 * takes its place where it can. Throws when a server stays away.
 */
export async function* readTape(
  sources: Sources,
  partition: number,
  from: bigint,
  to: bigint,
  listener: TapeListener,
): AsyncGenerator<readonly TapeRecord[], void, undefined> {
  const bad = new Set<string>();
  let at = from;
  while (at < to) {
    const plan = planStretches(readable(sources, partition, bad), sources.ranges.get(partition), at, to);
    let ahead: Fetched | null = null;
    for (const [i, stretch] of plan.entries()) {
      listener.reading?.(stretch);
      const finding = findingOf(stretch);
      if (finding !== null) listener.found(finding);
      if (stretch.source === 'log') {
        yield* readLog(sources.log, partition, stretch.from, stretch.to);
      } else if (stretch.source === 'archive') {
        const fetched: Fetched = ahead ?? fetch(sources.archive, stretch.piece);
        const next = plan[i + 1];
        ahead = next?.source === 'archive' ? fetch(sources.archive, next.piece) : null;
        const records = await fetched;
        if (records instanceof Error) {
          bad.add(stretch.piece.key);
          listener.found({ kind: 'unreadable', key: stretch.piece.key, error: errorMessage(records) });
          break; // and plan anew
        }
        yield records.filter(({ offset }) => offset >= stretch.from && offset < stretch.to);
      }
      at = stretch.to;
    }
  }
}

/** What is wrong with a stretch. */
export function findingOf(stretch: Stretch): TapeFinding | null {
  const { from, to, source } = stretch;
  if (source === 'none') return { kind: 'lost', from, to, arrivedBy: stretch.arrivedBy };
  return source === 'log' && stretch.gap ? { kind: 'gap', from, to } : null;
}

function* readable({ index }: Sources, partition: number, bad: ReadonlySet<string>): Generator<Piece> {
  for (const piece of index.pieces(partition)) if (!bad.has(piece.key)) yield piece;
}

type Fetched = Promise<readonly TapeRecord[] | Error>;

/** Answers an error that lies in the object; one of the server is thrown. */
async function fetch(archive: ArchiveReader, piece: Piece): Fetched {
  try {
    return [...(await retrying(() => archive.readRecords(piece), { attempts: ATTEMPTS }))];
  } catch (error) {
    if (error instanceof WeirError && error.retry === 'data') return error;
    throw error;
  }
}

async function* readLog(
  log: LogReader,
  partition: number,
  from: bigint,
  to: bigint,
): AsyncGenerator<readonly TapeRecord[], void, undefined> {
  for (let at = from; at < to; ) {
    const records = await retrying(() => log.read(partition, at, FETCH_BYTES), { attempts: ATTEMPTS });
    const wanted = records.filter(({ offset }) => offset < to);
    if (wanted.length > 0) yield wanted.map(({ offset, value }) => ({ offset, lines: splitLines(value) }));
    const last = records.at(-1);
    if (last !== undefined) at = last.offset + 1n;
  }
}
