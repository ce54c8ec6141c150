import {
  copyDerivations,
  derivationPart,
  loadSeries,
  openScratch,
  openSnapshot,
  type RowKeys,
  type Runner,
  readExpiry,
  repairRollups,
  repairWindows,
  swapIn,
} from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { LEVELS, TABLES } from '@weir/topology';
import type { Grouping } from '@weir/windows';
import { FOLD_TABLES, readFacts } from './audit.ts';
import { compareRollups, type RollupDifference } from './compare-rollups.ts';
import { type CompareOptions, compareWindows, type LevelReport } from './compare-windows.ts';
import { catchUp, type RebuildOptions, type RebuildReport, SWAP } from './rebuild.ts';
import { Replay } from './replay.ts';

export interface RangeOptions extends Omit<RebuildOptions, 'parts' | 'retention'> {
  /** Windows that lie within, epoch milliseconds; ±Infinity: no bound. */
  readonly from: number;
  readonly to: number;
  readonly groupings: readonly Grouping[];
}

export interface RangeReport extends RebuildReport {
  /** What was wrong, and is mended now. */
  readonly levels: readonly LevelReport[];
}

/** Differences that may wait in memory. */
const MOST = 1_000_000;

/**
 * Makes the windows of a range anew and writes those that are not as they should be, all in one transaction in which the
 * live pipeline waits. Windows that lost records may have changed stay as they are.
 */
export async function rebuildRange(options: RangeOptions): Promise<RangeReport> {
  const { database, url, topic, from } = options;
  const scratch = await openScratch({
    ...{ kind: 'rebuild', live: database, url, storage: 'plain', besideLive: true },
    tables: FOLD_TABLES.filter((table) => table !== TABLES.series),
  });
  const signal = AbortSignal.any([options.signal, scratch.lost]);
  const inside = options.open(scratch.url);
  try {
    const replay = await Replay.open({ ...options, from, only: null, signal });
    const parts = [derivationPart({ metrics: null })];
    await copyDerivations(database, inside);
    await catchUp(replay, inside, database, topic, parts);
    let levels: LevelReport[] = [];
    const heldMs = await swapIn({
      ...{ ...SWAP, url, topic, signal, waiting: options.waiting },
      async catchUp(next) {
        await replay.begin(inside, parts, next.keys());
        await replay.foldTo(next);
        await replay.writeSilent();
      },
      async replace(transaction) {
        const facts = await readFacts(inside, options, await loadSeries(inside));
        const comparison = { series: facts, provableFrom: replay.provableFrom, from, to: options.to };
        levels = await mend(transaction, options, comparison, scratch);
      },
    });
    const { coverage, findings, counts } = replay;
    return { coverage: [...coverage.values()], findings, counts, heldMs, levels };
  } catch (error) {
    scratch.lost.throwIfAborted();
    throw error;
  } finally {
    await inside.close();
    await scratch.remove();
  }
}

class Keys implements RowKeys {
  readonly series: number[] = [];
  readonly starts: number[] = [];
  private readonly all = new Set<string>();

  add(series: number, start: number): void {
    this.series.push(series);
    this.starts.push(start);
    this.all.add(`${series} ${start}`);
  }
  has(series: number, start: number): boolean {
    return this.all.has(`${series} ${start}`);
  }
}

async function mend(
  transaction: Runner,
  { url, groupings, told, signal }: RangeOptions,
  range: Pick<CompareOptions, 'series' | 'provableFrom' | 'from' | 'to'>,
  { live: liveSchema, schema, url: scratchUrl }: { live: string; schema: string; url: string },
): Promise<LevelReport[]> {
  const wrong = LEVELS.map(() => new Keys());
  const extra = LEVELS.map(() => new Keys());
  const rollups: RollupDifference[] = [];
  let noted = 0;
  const note = (): void => {
    if (++noted <= MOST) return;
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      `More than ${MOST.toLocaleString('en-US')} windows of this range are wrong. Nothing was changed: make all windows anew with \`weir rebuild\` without a range.`,
    );
  };
  let rows = 0;
  const live = await openSnapshot(url);
  const made = await openSnapshot(scratchUrl);
  let levels: LevelReport[];
  try {
    const comparison: CompareOptions = {
      ...range,
      ...{ live, scratch: made, only: null },
      expiry: await readExpiry(live),
      compared: (more) => {
        signal.throwIfAborted();
        rows += more;
        told({ step: 'comparing', rows });
      },
      differs: (kind, level, series, start) => {
        note();
        (kind === 'extra' ? extra : wrong)[level]?.add(series, start);
      },
    };
    levels = await compareWindows(comparison);
    const mended = (level: number, series: number, start: number): boolean =>
      wrong[level]?.has(series, start) === true || extra[level]?.has(series, start) === true;
    const differs = (difference: RollupDifference): void => {
      note();
      rollups.push(difference);
    };
    levels.push(...(await compareRollups(comparison, { groupings, mended, differs })));
  } finally {
    await Promise.all([live.close(), made.close()]);
  }
  told({ step: 'copying', rows: noted });
  for (let level = 0; level < LEVELS.length; level++) {
    await repairWindows(transaction, {
      ...{ level, live: liveSchema, scratch: schema },
      ...{ wrong: wrong[level] as Keys, extra: extra[level] as Keys },
    });
  }
  await repairRollups(transaction, rollups);
  return levels;
}
