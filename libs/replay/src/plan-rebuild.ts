import { readNextOffsets } from '@weir/connect-timescale';
import type { RebuildOptions } from './rebuild.ts';
import { type Coverage, type Finding, Replay } from './replay.ts';

export interface RebuildPlan {
  readonly coverage: readonly Coverage[];
  readonly findings: readonly Finding[];
  readonly objects: number;
  /** Estimated from a sample of the objects. */
  readonly lines: number;
  /** Estimated. */
  readonly milliseconds: number;
}

interface PlanOptions
  extends Pick<
    RebuildOptions,
    'database' | 'archive' | 'log' | 'topic' | 'partitions' | 'windows' | 'maxFutureMs' | 'signal' | 'told'
  > {
  /** As in `ReplayOptions`. */
  readonly from: number;
}

const SAMPLE = 50;
/** Of the reference machine, all levels and roll-ups written. */
const LINES_PER_MS = 60;

/** What a rebuild would read now; nothing but names and metadata is read for it. */
export async function planRebuild(options: PlanOptions): Promise<RebuildPlan> {
  const { database, topic, archive } = options;
  const replay = await Replay.open({ ...options, only: null });
  await replay.plan(await readNextOffsets(database, topic));
  const coverage = [...replay.coverage.values()];
  let sampled = 0;
  let lines = 0;
  let records = 0;
  for (const { partition } of coverage) {
    for (const piece of replay.index.pieces(partition)) {
      if (sampled >= SAMPLE) break;
      const info = await archive.info(piece);
      sampled++;
      lines += info.count;
      records += info.records;
    }
  }
  const total = coverage.reduce((sum, { from, to }) => sum + Number(to - from), 0);
  const estimate = Math.round((total * lines) / Math.max(1, records));
  return {
    coverage,
    findings: replay.findings,
    objects: coverage.reduce((sum, { objects }) => sum + objects, 0),
    lines: estimate,
    milliseconds: estimate / LINES_PER_MS,
  };
}
