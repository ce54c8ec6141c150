import { decodeEnvelope, type Envelope, readingsOf } from '@weir/reading';
import type { Target } from './target.ts';

/** A line of the log, where it was found. */
export interface FoundLine {
  readonly partition: number;
  readonly offset: bigint;
  /** Index in its record. */
  readonly line: number;
  readonly lines: number;
  readonly text: string;
  readonly envelope: Envelope;
}

/** Tells lines that are wanted from others, and on which side of the wanted one a line stands. */
export interface Wanted {
  /** Bytes that such a line has; spares parsing the others. */
  readonly mark: Buffer;
  /** 0: this is it; negative: it comes after this one, positive: before; null: the line says nothing about it. */
  compare(envelope: Envelope): number | null;
}

type Searched = Exclude<Target, { kind: 'record' }>;

/** How to search for a target; replays are left out, they are no hop of a reading's first way. */
export function wantedOf(target: Searched): Wanted {
  if (target.kind === 'spool') {
    const { edge, n } = target;
    return {
      mark: Buffer.from(`"edge":"${edge}"`),
      compare: (envelope) =>
        envelope.edge === edge && envelope.forced === undefined ? Math.sign(envelope.n - n) : null,
    };
  }
  const { site, device } = target;
  const own = (envelope: Envelope): boolean =>
    envelope.device === device && envelope.site === site && envelope.forced === undefined;
  const mark = Buffer.from(`"device":"${device}"`);
  if (target.kind === 'newest') return { mark, compare: (envelope) => (own(envelope) ? -1 : null) };
  return {
    mark,
    compare(envelope) {
      if (!own(envelope)) return null;
      let side: number | null = null;
      for (const reading of readingsOf(envelope)) {
        const key = target.kind === 'at' ? reading.ts : reading.seq;
        if (key === undefined) continue;
        side = Math.sign(key - (target.kind === 'at' ? target.ts : target.seq));
        if (side === 0) return 0;
      }
      return side;
    },
  };
}

/** The lines of a record that `wanted` can compare, in order, with their sides. */
export function* compared(
  record: { readonly partition: number; readonly offset: bigint; readonly lines: readonly string[] },
  wanted: Wanted,
): Generator<{ readonly found: FoundLine; readonly side: number }> {
  const { partition, offset, lines } = record;
  const mark = wanted.mark.toString('utf8');
  for (const [line, text] of lines.entries()) {
    if (!text.includes(mark)) continue;
    const envelope = tryDecode(text);
    const side = envelope === null ? null : wanted.compare(envelope);
    if (envelope === null || side === null) continue;
    yield { found: { partition, offset, line, lines: lines.length, text, envelope }, side };
  }
}

function tryDecode(text: string): Envelope | null {
  try {
    return decodeEnvelope(text);
  } catch {
    return null; // a line that is no envelope is nobody's reading
  }
}

/** What a search may cost, and what it did. */
export class Effort {
  /** Sentences. */
  readonly searched: string[] = [];
  private readonly until: number;

  constructor(ms: number) {
    this.until = performance.now() + ms;
  }

  get spent(): boolean {
    return performance.now() >= this.until;
  }

  note(text: string): void {
    this.searched.push(text);
  }
}
