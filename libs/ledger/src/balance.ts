import type { LetterPlace } from './letters.ts';
import type { Source } from './received.ts';
import type { AtEdge } from './sent.ts';

/** What readings pass, in their order; a loss belongs to the hop in which it happened. */
export const LEDGER_HOPS = ['spool', 'kafka', 'archive', 'dead-letters'] as const;
export type LedgerHop = (typeof LEDGER_HOPS)[number];

/** What an edge says of itself now. */
export interface LiveEdge extends AtEdge {
  readonly edge: string;
  readonly since: number;
  /** Readings and refused messages that its spool has taken. */
  readonly taken: number;
  /** Of these, behind the forwarder; null: not known yet. */
  readonly counted: number | null;
  /** Readings sent to Kafka, by partition. */
  readonly sent: readonly number[];
}

/** Who reads the log of a partition, as stored with its place. */
export interface ReaderSource extends Source {
  readonly partition: number;
}

/** What became of readings in the windows. */
export interface WindowOutcomes {
  readonly stored: number;
  readonly duplicates: number;
  readonly deadLettered: number;
}

/** One partition of the dead-letter topic. */
export interface LetterLog extends LetterPlace {
  readonly partition: number;
  /** Where its log began and ended before the place was read; null: not known. */
  readonly log: { readonly start: bigint; readonly end: bigint } | null;
}

export interface LedgerInput {
  /** When this ledger began, epoch milliseconds. */
  readonly began: number;
  /** Edges that answer; asked before anything else. */
  readonly edges: readonly LiveEdge[];
  /** Partitions whose log had nothing left for the windows after the edges were asked. */
  readonly readToEnd: ReadonlySet<number>;
  /** What came into the windows. */
  readonly windows: readonly ReaderSource[];
  /** What became of it; null: not known. */
  readonly outcomes: WindowOutcomes | null;
  /** The dead-letter topic and how far the index is. */
  readonly letters: readonly LetterLog[];
  /** Objects that the archive must hold and does not. */
  readonly missingObjects: readonly { readonly key: string; readonly readings: number }[];
  /** By id of a loss, the readings of it that a person has taken note of. */
  readonly acknowledged: ReadonlyMap<string, number>;
}

/** Readings (or dead letters) that are missing, from one place. It only grows; what comes back makes it smaller. */
export interface Loss {
  readonly id: string;
  readonly hop: LedgerHop;
  readonly readings: number;
  readonly acknowledged: number;
  readonly edge: string | null;
  readonly partition: number | null;
  /** Key of an archive object. */
  readonly object: string | null;
}

/** What came to a hop and what became of it; null: nothing of the kind happens there, or it is not known. */
export interface HopFigures {
  readonly accepted: number | null;
  /** Handed on to the next hop. */
  readonly sent: number | null;
  readonly stored: number | null;
  readonly duplicates: number | null;
  readonly deadLettered: number | null;
  /** By the policy of a buffer that was full. */
  readonly dropped: number | null;
}

export interface HopBalance extends HopFigures {
  readonly hop: LedgerHop;
  /** Missing and not acknowledged. */
  readonly residual: number;
  /** Missing in all. */
  readonly lost: number;
  /** Came to this hop and not to the next; null: not known. */
  readonly inFlight: number | null;
}

/** What became of everything that the edges which answer have taken. */
export interface LedgerTotals extends AtEdge {
  readonly taken: number;
  readonly sent: number;
}

export interface Balance {
  readonly residual: number;
  readonly hops: readonly HopBalance[];
  readonly losses: readonly Loss[];
  readonly totals: LedgerTotals;
}

/**
 * The balance of the ledger. Everything comes from persisted counts, each of which is moved together with what it
 * counts, so a restart or a crash anywhere changes nothing. What is on its way is told from what is missing by order:
 * an edge is asked first, then the end of the log, then the windows: what the edge had sent by then and the windows,
 * having read up to that end, do not know, is nowhere.
 */
export function balance(input: LedgerInput): Balance {
  const { edges, windows, readToEnd } = input;
  const found: Omit<Loss, 'acknowledged'>[] = [];
  const live = new Map(edges.map((edge) => [edge.edge, edge]));
  const none = { edge: null, partition: null, object: null };

  for (const [edge, sources] of Map.groupBy(windows, ({ edge }) => edge)) {
    const readings = lostInSpool(sources, live.get(edge));
    if (readings > 0) found.push({ ...none, id: `spool ${edge}`, hop: 'spool', readings, edge });
  }
  for (const { edge, lost } of edges) {
    if (lost > 0 && !windows.some((source) => source.edge === edge))
      found.push({ ...none, id: `spool ${edge}`, hop: 'spool', readings: lost, edge });
  }

  const way = sentButNotIn(edges, windows);
  for (const { edge, partition, missing } of windows) {
    const tail = readToEnd.has(partition) ? (way.find(edge, partition) ?? 0) : 0;
    const readings = missing + tail;
    if (readings > 0)
      found.push({ ...none, id: `kafka ${partition} ${edge}`, hop: 'kafka', readings, edge, partition });
  }
  for (const { edge, partition, readings } of way.unseen) {
    // of an older count, what it sent before the ledger began is not asked for
    if (readToEnd.has(partition) && (live.get(edge)?.since ?? 0) >= input.began)
      found.push({ ...none, id: `kafka ${partition} ${edge}`, hop: 'kafka', readings, edge, partition });
  }
  let gone = 0;
  for (const { readings, hop } of found) if (hop === 'kafka') gone += readings;

  const letters = input.letters.map((one) => ({ ...one, ...lettersOf(one) }));
  for (const { partition, lost } of letters) {
    if (lost > 0)
      found.push({
        ...none,
        id: `dead-letters ${partition}`,
        hop: 'dead-letters',
        readings: lost,
        partition,
      });
  }
  for (const { key, readings } of input.missingObjects) {
    found.push({ ...none, id: `archive ${key}`, hop: 'archive', readings, object: key });
  }

  const losses = found.map((loss) => ({
    ...loss,
    acknowledged: Math.min(loss.readings, input.acknowledged.get(loss.id) ?? 0),
  }));
  const tails = gone - windows.reduce((sum, { missing }) => sum + missing, 0);
  const inFlight: Record<LedgerHop, number | null> = {
    spool: edges.reduce((sum, { taken, counted }) => sum + (counted === null ? 0 : taken - counted), 0),
    kafka: Math.max(0, way.total - tails),
    archive: null,
    'dead-letters': add(letters.map(({ waiting }) => waiting)),
  };
  const totals = totalsOf(edges);
  const figures = figuresOf(input, totals);
  const hops = LEDGER_HOPS.map((hop) => {
    const own = losses.filter((loss) => loss.hop === hop);
    const lost = own.reduce((sum, { readings }) => sum + readings, 0);
    const noted = own.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
    const isKnown = edges.length > 0 || hop === 'dead-letters';
    return { ...figures[hop], hop, lost, residual: lost - noted, inFlight: isKnown ? inFlight[hop] : null };
  });
  return { residual: hops.reduce((all, { residual }) => all + residual, 0), hops, losses, totals };
}

function totalsOf(edges: readonly LiveEdge[]): LedgerTotals {
  const sum = (key: keyof AtEdge | 'taken'): number => edges.reduce((all, edge) => all + edge[key], 0);
  return {
    taken: sum('taken'),
    sent: edges.reduce((all, { sent }) => all + sent.reduce((a, b) => a + b, 0), 0),
    letters: sum('letters'),
    buried: sum('buried'),
    dropped: sum('dropped'),
    lost: sum('lost'),
  };
}

const NOTHING: HopFigures = {
  ...{ accepted: null, sent: null, stored: null, duplicates: null, deadLettered: null, dropped: null },
};

function figuresOf(
  { edges, outcomes, letters }: LedgerInput,
  { taken, sent, letters: refused, buried, dropped }: LedgerTotals,
): Record<LedgerHop, HopFigures> {
  const isAsked = edges.length > 0;
  const indexed = letters.reduce((sum, one) => sum + one.taken, 0);
  const accepted = letters.map((one) => {
    const { lost, waiting } = lettersOf(one);
    return waiting === null ? null : one.taken + lost + waiting;
  });
  return {
    spool: isAsked ? { ...NOTHING, accepted: taken, sent, deadLettered: refused + buried, dropped } : NOTHING,
    kafka: { ...NOTHING, accepted: isAsked ? sent : null, ...outcomes },
    archive: NOTHING,
    'dead-letters': { ...NOTHING, accepted: add(accepted), stored: letters.length === 0 ? null : indexed },
  };
}

/** Letters that are gone, as of a log that was looked at before the place, and those that wait in it. */
function lettersOf({ next, missing, log }: LetterLog): { lost: number; waiting: number | null } {
  if (log === null) return { lost: missing, waiting: null };
  const from = log.start > next ? log.start : next;
  return {
    lost: missing + Number(from - next),
    waiting: log.end > from ? Number(log.end - from) : 0,
  };
}

/** Null when there is nothing, or something is not known. */
function add(counts: readonly (number | null)[]): number | null {
  if (counts.length === 0 || counts.includes(null)) return null;
  return counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
}

/** Each partition's reader knows what the edge had lost by its last record; the newest count says most. */
function lostInSpool(sources: readonly Source[], live: LiveEdge | undefined): number {
  const newest = Math.max(...sources.map(({ since }) => since), live?.since ?? 0);
  const now = sources.filter(({ since }) => since === newest).map(({ lost }) => lost);
  if (live?.since === newest) now.push(live.lost);
  const before = sources.map(({ since, lost, lostBefore }) => lostBefore + (since === newest ? 0 : lost));
  return Math.max(0, ...now) + Math.max(0, ...before);
}

/** What edges have sent and a reader has not come to, by its own count. */
function sentButNotIn(edges: readonly LiveEdge[], sources: readonly ReaderSource[]) {
  const found = new Map<string, number>();
  const unseen: { edge: string; partition: number; readings: number }[] = [];
  let total = 0;
  for (const { edge, since, sent } of edges) {
    sent.forEach((count, partition) => {
      const source = sources.find((one) => one.edge === edge && one.partition === partition);
      const through = source?.since === since ? source.through : 0;
      const readings = Math.max(0, count - through);
      if (readings === 0 || (source !== undefined && source.since > since)) return;
      total += readings;
      if (source === undefined) unseen.push({ edge, partition, readings });
      else found.set(`${partition} ${edge}`, readings);
    });
  }
  return {
    total,
    unseen,
    find: (edge: string, partition: number) => found.get(`${partition} ${edge}`),
  };
}
