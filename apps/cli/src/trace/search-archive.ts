import type { ArchiveObject, ArchiveReader } from '@weir/connect-minio';
import { compared, type Effort, type FoundLine, type Wanted } from './wanted.ts';

/** A line in the archive, and its object. */
export interface ArchivedLine extends FoundLine {
  readonly object: ArchiveObject;
}

const HOUR_MS = 3_600_000;
/** Hours around the expected one: a record of an edge that was away can open an object under its old hour. */
const AROUND = 24;
/** Hours without an object that are stepped over. */
const GAP = 48;
const FIRST_STEP = 1;

const hourOf = (ms: number): number => ms - (ms % HOUR_MS);
const day = (ms: number): string => new Date(ms).toISOString().slice(0, 13);

/** Objects of one partition, listed hour by hour as they are asked for. */
export class ArchiveHours {
  private readonly archive: ArchiveReader;
  private readonly partition: number;
  private readonly known = new Map<number, Promise<ArchiveObject[]>>();

  constructor(archive: ArchiveReader, partition: number) {
    this.archive = archive;
    this.partition = partition;
  }

  /** In the order of their offsets. */
  of(hourMs: number): Promise<ArchiveObject[]> {
    let listed = this.known.get(hourMs);
    if (listed === undefined) {
      listed = this.list(hourMs);
      this.known.set(hourMs, listed);
    }
    return listed;
  }

  private async list(hourMs: number): Promise<ArchiveObject[]> {
    const found: ArchiveObject[] = [];
    // `from` includes the hour before.
    const query = { partition: this.partition, from: hourMs + HOUR_MS, to: hourMs + 1 };
    for await (const object of this.archive.listObjects(query))
      if (object.hourMs === hourMs) found.push(object);
    return found;
  }

  /** The object that holds a record of about this time; null when it is in none of the hours around. */
  async holding(offset: bigint, aboutMs: number): Promise<ArchiveObject | null> {
    const hour = hourOf(aboutMs);
    for (const hours of [[0, -1, 1], Array.from({ length: AROUND }, (_, i) => [i + 2, -i - 2]).flat()]) {
      const lists = await Promise.all(hours.map((distance) => this.of(hour + distance * HOUR_MS)));
      const found = lists.flat().find(({ first, last }) => first <= offset && offset <= last);
      if (found !== undefined) return found;
    }
    return null;
  }

  /** The first hour at or after `hourMs`, and before `endMs`, that has objects. */
  async next(hourMs: number, endMs: number): Promise<number | null> {
    for (let hour = hourMs, gap = 0; hour < endMs && gap < GAP; hour += HOUR_MS, gap++)
      if ((await this.of(hour)).length > 0) return hour;
    return null;
  }
}

/**
 * The last hour whose first object stands at or before what is sought. Goes back from `fromMs` in growing steps, then
 * halves: a year is 20 looks.
 * @param isBehind whether the objects of an hour begin behind what is sought; null: they do not tell
 */
async function bisectHours(
  hours: ArchiveHours,
  fromMs: number,
  isBehind: (objects: readonly ArchiveObject[]) => Promise<boolean | null>,
  effort: Effort,
): Promise<number | null> {
  let high = hourOf(fromMs) + HOUR_MS;
  let low = hourOf(fromMs);
  const behind = async (hour: number): Promise<boolean | null> => {
    for (let at = await hours.next(hour, high); at !== null; at = await hours.next(at + HOUR_MS, high)) {
      const told = await isBehind(await hours.of(at));
      if (told !== null || effort.spent) return told;
    }
    return null;
  };
  for (let step = FIRST_STEP; !effort.spent; step *= 2) {
    const told = await behind(low);
    if (told === false) break;
    if (told === true) high = low + HOUR_MS;
    // Nothing before the pipeline was built.
    if (low < Date.UTC(2020)) return null;
    low -= step * HOUR_MS;
  }
  while (high - low > HOUR_MS && !effort.spent) {
    const middle = hourOf((low + high) / 2);
    if ((await behind(middle)) === false) low = middle;
    else high = middle;
  }
  return low;
}

/** The record at an offset that Kafka no longer holds. */
export async function searchRecord(
  archive: ArchiveReader,
  hours: ArchiveHours,
  offset: bigint,
  fromMs: number,
  effort: Effort,
): Promise<{ readonly object: ArchiveObject; readonly lines: readonly string[] } | null> {
  const hour = await bisectHours(
    hours,
    fromMs,
    async (objects) => (objects[0] as ArchiveObject).first > offset,
    effort,
  );
  const object = hour === null ? null : await hours.holding(offset, hour);
  if (object !== null) {
    for (const record of await archive.readRecords(object))
      if (record.offset === offset) return { object, lines: record.lines };
  }
  effort.note(`the names of archive objects back from ${day(fromMs)} h`);
  return null;
}

/** The line in the archive of one partition, before `fromMs` (the time that Kafka's log begins with). */
export async function searchLines(
  archive: ArchiveReader,
  hours: ArchiveHours,
  partition: number,
  fromMs: number,
  wanted: Wanted,
  effort: Effort,
): Promise<ArchivedLine | null> {
  const first = async (objects: readonly ArchiveObject[]): Promise<boolean | null> => {
    for (const object of objects) {
      if (effort.spent) return null;
      for (const record of await archive.readRecords(object))
        for (const { side } of compared({ partition, ...record }, wanted)) return side > 0;
    }
    return null;
  };
  const hour = await bisectHours(hours, fromMs, first, effort);
  if (hour === null) {
    effort.note(`the archive of partition ${partition} back from ${day(fromMs)} h`);
    return null;
  }
  // The line before what is sought may close the hour before.
  for (const at of [hour, hour + HOUR_MS, hour - HOUR_MS]) {
    for (const object of await hours.of(at)) {
      for (const record of await archive.readRecords(object))
        for (const { found, side } of compared({ partition, ...record }, wanted))
          if (side === 0) return { ...found, object };
      if (effort.spent) break;
    }
  }
  effort.note(
    `the archive of partition ${partition}, hours ${day(hour - HOUR_MS)} to ${day(hour + HOUR_MS)} (looked up by bisection)`,
  );
  return null;
}
