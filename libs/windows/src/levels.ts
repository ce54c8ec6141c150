import { LEVELS, type LevelName } from '@weir/topology';

/** Length of a window of each level, milliseconds, finest first. */
export const LEVEL_MS: readonly number[] = LEVELS.map((level) => level.seconds * 1_000);
export const LEVEL_COUNT = LEVEL_MS.length;
export const TOP = LEVEL_COUNT - 1;
export const PANE_MS = LEVEL_MS[0] as number;

/** Start of the window of `sizeMs` that holds `ts`. Windows are aligned to the epoch, in UTC. */
export function alignDown(ts: number, sizeMs: number): number {
  return Math.floor(ts / sizeMs) * sizeMs;
}

export function levelIndex(name: LevelName): number {
  return LEVELS.findIndex((level) => level.name === name);
}
