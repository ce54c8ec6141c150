import { decodeEnvelope, payloadBytes, type Reading, readingsOf } from '@weir/reading';
import { LEVELS, type LevelName } from '@weir/topology';

/** One window, computed the plain way. */
export interface PlainWindow {
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly level: LevelName;
  /** Epoch milliseconds. */
  readonly start: number;
  readonly count: number;
  /** Log order within a second, then child windows in start order: comparable bit for bit. */
  readonly sum: number;
  readonly min: number;
  readonly max: number;
  readonly first: number;
  readonly firstTs: number;
  readonly last: number;
  readonly lastTs: number;
  /** Two passes over the values; null for a single reading. */
  readonly stddev: number | null;
  /** Ascending; for exact quantiles. */
  readonly sorted: readonly number[];
}

export interface PlainResult {
  /** By `site/device/metric/level/start`. */
  readonly windows: ReadonlyMap<string, PlainWindow>;
  readonly stored: number;
  readonly duplicates: number;
  readonly late: number;
}

export interface PlainOptions {
  readonly outOfOrdernessMs: number;
  readonly allowedLatenessMs: number;
}

export function plainKey(
  site: string,
  device: string,
  metric: string,
  level: LevelName,
  start: number,
): string {
  return `${site}/${device}/${metric}/${level}/${start}`;
}

interface Accepted {
  readonly site: string;
  readonly device: string;
  readonly metric: string;
  readonly ts: number;
  readonly value: number;
}

/**
 * The windows of one partition's lines, grouped by identity and window without any of the streaming code: for audits
 * and tests, to be obviously right rather than fast. A repetition is recognised over the whole log, so give lines
 * whose repetitions lie within the duplicate horizon. Throws on a line that is not an envelope.
 * @param lines in log order
 */
export function recompute(lines: readonly string[], options: PlainOptions): PlainResult {
  const seen = new Set<string>();
  const newest = new Map<string, number>();
  const accepted: Accepted[] = [];
  let duplicates = 0;
  let late = 0;
  for (const line of lines) {
    const envelope = decodeEnvelope(line);
    const { site, device } = envelope;
    const readings = readingsOf(envelope);
    const transport = `line ${envelope.edge} ${envelope.n}`;
    if (seen.has(transport)) {
      duplicates += readings.length;
      continue;
    }
    seen.add(transport);
    const publish = `publish ${site}/${device} ${envelope.mid} ${payloadBytes(line).toString('utf8')}`;
    const repeated = envelope.dup === true && envelope.mid !== undefined && seen.has(publish);
    seen.add(publish);
    for (const reading of readings) {
      if (isDuplicate(seen, `${site}/${device}`, reading, repeated)) {
        duplicates++;
        continue;
      }
      const second = Math.floor(reading.ts / 1_000) * 1_000;
      const watermark = (newest.get(`${site}/${device}`) ?? -Infinity) - options.outOfOrdernessMs;
      if (second + 1_000 + options.allowedLatenessMs <= watermark) {
        late++;
        continue;
      }
      newest.set(`${site}/${device}`, Math.max(second, newest.get(`${site}/${device}`) ?? -Infinity));
      accepted.push({ site, device, metric: reading.metric, ts: reading.ts, value: reading.value });
    }
  }
  return { windows: group(accepted), stored: accepted.length, duplicates, late };
}

function isDuplicate(seen: Set<string>, device: string, reading: Reading, repeated: boolean): boolean {
  if (reading.seq === undefined || !reading.stamped) return repeated;
  const identity = `reading ${device}/${reading.metric} ${reading.ts} ${reading.seq}`;
  if (seen.has(identity)) return true;
  seen.add(identity);
  return false;
}

function group(accepted: readonly Accepted[]): Map<string, PlainWindow> {
  const windows = new Map<string, PlainWindow>();
  let below: Map<string, PlainWindow> | undefined;
  for (const level of LEVELS) {
    const size = level.seconds * 1_000;
    const members = new Map<string, Accepted[]>();
    for (const reading of accepted) {
      const start = Math.floor(reading.ts / size) * size;
      const key = plainKey(reading.site, reading.device, reading.metric, level.name, start);
      const list = members.get(key);
      if (list === undefined) members.set(key, [reading]);
      else list.push(reading);
    }
    const here = new Map<string, PlainWindow>();
    for (const [key, list] of members) here.set(key, figures(list, level.name, size));
    if (below !== undefined) sumUp(here, below, size);
    for (const [key, window] of here) windows.set(key, window);
    below = here;
  }
  return windows;
}

function figures(list: readonly Accepted[], level: LevelName, size: number): PlainWindow {
  const one = list[0] as Accepted;
  const sorted = list.map((reading) => reading.value).sort((a, b) => a - b);
  // Array.prototype.sort is stable, so equal times stay in log order.
  const byTime = [...list].sort((a, b) => a.ts - b.ts);
  const first = byTime[0] as Accepted;
  const last = byTime[byTime.length - 1] as Accepted;
  let sum = 0;
  for (const reading of list) sum += reading.value;
  const mean = sum / list.length;
  let squares = 0;
  for (const value of sorted) squares += (value - mean) ** 2;
  return {
    site: one.site,
    device: one.device,
    metric: one.metric,
    level,
    start: Math.floor(one.ts / size) * size,
    count: list.length,
    sum,
    min: sorted[0] as number,
    max: sorted[sorted.length - 1] as number,
    first: first.value,
    firstTs: first.ts,
    last: last.value,
    lastTs: last.ts,
    stddev: list.length < 2 ? null : Math.sqrt(squares / (list.length - 1)),
    sorted,
  };
}

/** Replaces each sum by the sum of the child windows' sums in start order. */
function sumUp(here: Map<string, PlainWindow>, below: Map<string, PlainWindow>, size: number): void {
  const sums = new Map<string, number>();
  for (const child of [...below.values()].sort((a, b) => a.start - b.start)) {
    const level = LEVELS[LEVELS.findIndex(({ name }) => name === child.level) + 1]?.name as LevelName;
    const start = Math.floor(child.start / size) * size;
    const key = plainKey(child.site, child.device, child.metric, level, start);
    sums.set(key, (sums.get(key) ?? 0) + child.sum);
  }
  for (const [key, sum] of sums) here.set(key, { ...(here.get(key) as PlainWindow), sum });
}

/** The exact value at rank ⌊1 + q (n - 1)⌋. */
export function exactQuantile(sorted: readonly number[], q: number): number {
  return sorted[Math.floor(1 + q * (sorted.length - 1)) - 1] as number;
}
