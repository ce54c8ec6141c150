import {
  copyDerivations,
  type Database,
  derivationPart,
  loadSeries,
  newestPanes,
  openScratch,
  openSnapshot,
  putSeries,
  readExpiry,
  readNextOffsets,
  roundedReadings,
  type StoredSeries,
} from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { partitionOf } from '@weir/reading';
import { LEVELS, TABLES } from '@weir/topology';
import type { Counts, Grouping } from '@weir/windows';
import { compareRollups } from './compare-rollups.ts';
import { compareWindows, type Difference, type LevelReport, type SeriesFacts } from './compare-windows.ts';
import { locate } from './locate.ts';
import { type Coverage, type Finding, Replay, type ReplayOptions } from './replay.ts';
import { RoundedWindows } from './rounded.ts';

export interface AuditOptions extends Omit<ReplayOptions, 'only'> {
  /** The live database. */
  readonly database: Database;
  readonly url: string;
  /** Where the recomputed windows go: the live database itself, in a schema of its own, or another server. */
  readonly scratchUrl: string;
  /** Opens a database for the fold. */
  readonly open: (url: string) => Database;
  /** Only windows that end here or earlier, epoch milliseconds; Infinity: all. */
  readonly to: number;
  /** What roll-ups are grouped by, as configured. */
  readonly groupings: readonly Grouping[];
  readonly device: { readonly id: string; readonly site: string | null } | null;
}

export interface AuditReport {
  /** Nothing is missing, extra or different, and nothing of log and archive is lost. */
  readonly clean: boolean;
  readonly levels: readonly LevelReport[];
  readonly findings: readonly Finding[];
  readonly coverage: readonly Coverage[];
  readonly counts: Counts;
  /** By partition, epoch milliseconds; see `Replay.provableFrom`. */
  readonly provableFrom: ReadonlyMap<number, number>;
}

/** Tables of the fold, when only its rows are wanted. */
export const FOLD_TABLES = [
  ...LEVELS.map(({ table }) => table),
  TABLES.windowsKept,
  TABLES.series,
  TABLES.partitionOffsets,
  TABLES.forcedReadings,
  TABLES.retention,
  TABLES.derivations,
];
/** Keys of series that the log names and the database does not have: apart from all others. */
const OWN_KEYS = 1_000_000_000;

/**
 * Recomputes the windows from the archive and the log, with the code of the live pipeline, and compares them with the
 * stored ones at one moment: each partition is folded exactly up to the offset that stands beside its rows.
 *
 * The bulk is folded before that moment, so the snapshot is open only for the rest and the comparison; meanwhile
 * retention waits, everything else goes on.
 */
export async function audit(options: AuditOptions): Promise<AuditReport> {
  const { database, url, scratchUrl, topic, device, from, to, groupings, told } = options;
  const only = device === null ? null : [partitionOf(device.id, options.partitions)];
  const wanted = (offsets: ReadonlyMap<number, bigint>): Map<number, bigint> =>
    new Map([...offsets].filter(([partition]) => only === null || only.includes(partition)));

  // Offsets before series: whatever these offsets need is among the series.
  const first = wanted(await readNextOffsets(database, topic));
  const series = await loadSeries(database);
  const scratch = await openScratch({
    kind: 'audit',
    live: database,
    url: scratchUrl,
    tables: FOLD_TABLES,
    storage: 'plain',
    besideLive: false,
  });
  const signal = AbortSignal.any([options.signal, scratch.lost]);
  const inside = options.open(scratch.url);
  const tidy: (() => Promise<void>)[] = [() => scratch.remove(), () => inside.close()];
  try {
    await inside.query(
      'numbering series',
      `ALTER TABLE ${TABLES.series} ALTER series_id RESTART WITH ${OWN_KEYS}`,
    );
    await putSeries(inside, series);
    const replay = await Replay.open({ ...options, only, signal });
    // The definitions that held when the readings were folded, whatever is configured now.
    const parts = [derivationPart({ metrics: null })];
    await copyDerivations(database, inside);
    await replay.begin(inside, parts, first.keys());
    await replay.foldTo(first);

    const live = await openSnapshot(url, { lock: TABLES.maintenance });
    tidy.push(() => live.close());
    const cut = wanted(await readNextOffsets(live, topic));
    const stored = await loadSeries(live);
    for (const [partition, next] of first)
      if ((cut.get(partition) ?? 0n) < next)
        throw new WeirError(
          'WEIR_STATE',
          'fatal',
          `partition ${partition} went back in the log while it was audited: was its topic made anew?`,
        );
    await putSeries(inside, stored);
    await replay.begin(inside, parts, cut.keys());
    await replay.foldTo(cut);
    await replay.writeSilent();
    for (const { table } of LEVELS) await inside.query('counting recomputed rows', `ANALYZE ${table}`);

    const facts = await readFacts(inside, options, stored);
    const made = await openSnapshot(scratch.url);
    tidy.push(() => made.close());
    let rows = 0;
    const comparison = {
      live,
      scratch: made,
      series: facts,
      only: device === null ? null : idsOf(facts, device),
      from,
      to,
      expiry: await readExpiry(live),
      rounded: new RoundedWindows(await roundedReadings(live)),
      provableFrom: replay.provableFrom,
      compared: (more: number) => {
        signal.throwIfAborted();
        rows += more;
        told({ step: 'comparing', rows });
      },
    };
    const levels = await compareWindows(comparison);
    // A device is only a part of its groups.
    if (device === null) levels.push(...(await compareRollups(comparison, { groupings })));
    const wrong = levels.some(({ tally }) => tally.missing + tally.extra + tally.different > 0);
    const offsets = await locate(
      replay,
      facts,
      levels.flatMap(({ examples }) => examples),
    );
    const withOffsets = levels.map((one) => ({
      ...one,
      examples: one.examples.map((example) => located(example, offsets.get(example))),
    }));
    return {
      clean: !wrong && replay.findings.length === 0,
      levels: withOffsets,
      findings: replay.findings,
      coverage: [...replay.coverage.values()],
      counts: replay.counts,
      provableFrom: replay.provableFrom,
    };
  } catch (error) {
    scratch.lost.throwIfAborted();
    throw error;
  } finally {
    for (const step of tidy.reverse()) await step().catch(() => undefined);
  }
}

function located(example: Difference, offsets: Difference['offsets']): Difference {
  return offsets === undefined ? example : { ...example, offsets };
}

function idsOf(
  facts: ReadonlyMap<number, SeriesFacts>,
  { id, site }: { id: string; site: string | null },
): number[] {
  return [...facts]
    .filter(([, one]) => one.device === id && (site === null || one.site === site))
    .map(([series]) => series);
}

const BATCH = 10_000;

/** All series, stored or not, and how far their devices were at the cut. */
export async function readFacts(
  scratch: Database,
  { partitions, windows }: Pick<ReplayOptions, 'partitions' | 'windows'>,
  stored: readonly StoredSeries[],
): Promise<Map<number, SeriesFacts>> {
  const facts = new Map<number, SeriesFacts>();
  const watermarks = new Map<string, number>();
  const all = await loadSeries(scratch);
  const known = new Set(all.map(({ id }) => id));
  for (const { id, site, device, metric } of [...all, ...stored.filter(({ id }) => !known.has(id))]) {
    const partition = partitionOf(device, partitions);
    facts.set(id, { site, device, metric, partition, watermark: Number.NEGATIVE_INFINITY });
  }
  for (let at = 0; at < all.length; at += BATCH) {
    const batch = all.slice(at, at + BATCH);
    const newest = await newestPanes(
      scratch,
      batch.map(({ id }) => id),
    );
    for (const { id, site, device } of batch) {
      const watermark = (newest.get(id) ?? Number.NEGATIVE_INFINITY) - windows.outOfOrdernessMs;
      const name = `${site}/${device}`;
      watermarks.set(name, Math.max(watermarks.get(name) ?? watermark, watermark));
    }
  }
  for (const one of facts.values())
    one.watermark = watermarks.get(`${one.site}/${one.device}`) ?? Number.NEGATIVE_INFINITY;
  return facts;
}
