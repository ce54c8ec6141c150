import type { AtEdge, Sent } from './sent.ts';

/** Readings that an edge sent and this reader of the log did not get: those from..to by the edge's count. */
export interface Hole {
  readonly from: number;
  readonly to: number;
  /** Offset of the record behind it, decimal. */
  readonly offset: string;
}

/** What a partition's reader knows of one edge; persisted with its offset. */
export interface Source extends AtEdge {
  readonly edge: string;
  readonly since: number;
  /** Everything up to here, by the edge's count, came or is counted as missing. */
  readonly through: number;
  /** `lost` of its counts before this one. */
  readonly lostBefore: number;
  /** Readings that never came, over all counts of this edge. */
  readonly missing: number;
  /** The last `MOST_HOLES` of them, oldest first. */
  readonly holes: readonly Hole[];
}

const MOST_HOLES = 50;

/**
 * The records of one partition, read in order, against what their edges say they sent. Pure; a function of the log
 * and of where reading began.
 */
export class Received {
  readonly #began: number;
  readonly #sources: Map<string, Source>;
  #changed = new Set<string>();

  /**
   * @param began when this ledger began, epoch milliseconds: of an older count the beginning is not asked for
   */
  constructor(began: number, sources: readonly Source[]) {
    this.#began = began;
    this.#sources = new Map(sources.map((source) => [source.edge, source]));
  }

  /** Takes what a record says. Returns the readings that are missing before it. */
  take(sent: Sent, offset: bigint): number {
    const known = this.#sources.get(sent.edge);
    if (known !== undefined && sent.since < known.since) return 0;
    const goesOn = known?.since === sent.since;
    const through = goesOn ? known.through : sent.since < this.#began ? sent.before : 0;
    const missing = Math.max(0, sent.before - through);
    const hole = { from: through, to: sent.before, offset: String(offset) };
    const holes = known?.holes ?? [];
    const lostBefore = (known?.lostBefore ?? 0) + (goesOn ? 0 : (known?.lost ?? 0));
    const { edge, since, letters, buried, dropped, lost } = sent;
    this.#sources.set(edge, {
      ...{ edge, since, letters, buried, dropped, lost, lostBefore },
      through: Math.max(through, sent.after),
      missing: (known?.missing ?? 0) + missing,
      holes: missing === 0 ? holes : [...holes, hole].slice(-MOST_HOLES),
    });
    this.#changed.add(edge);
    return missing;
  }

  /** Sources that changed since the last call; they count as written from here on. */
  takeChanged(): Source[] {
    const changed = [...this.#changed].map((edge) => this.#sources.get(edge) as Source);
    this.#changed = new Set();
    return changed;
  }
}
