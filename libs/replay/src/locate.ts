import { decodeEnvelope, readingsOf } from '@weir/reading';
import { LEVELS } from '@weir/topology';
import { LEVEL_MS } from '@weir/windows';
import type { Difference, SeriesFacts } from './compare-windows.ts';
import type { Replay } from './replay.ts';
import type { TapeRecord } from './tape.ts';

/** Records that are looked through for the examples of one partition. */
const RECORDS = 200_000;
const SHOWN = 10;

interface Wanted {
  readonly difference: Difference;
  readonly of: SeriesFacts;
  readonly from: number;
  readonly to: number;
  readonly offsets: bigint[];
}

/**
 * Adds to differences where in the log the readings of their window lie, as far as that is found in the records that
 * arrived first after the window began. Those of roll-ups are left as they are.
 */
export async function locate(
  replay: Replay,
  series: ReadonlyMap<number, SeriesFacts>,
  differences: readonly Difference[],
): Promise<Map<Difference, NonNullable<Difference['offsets']>>> {
  const byPartition = new Map<number, Wanted[]>();
  for (const difference of differences) {
    const { id, start, level, of } = difference;
    const facts = id === null || of === null || 'rollup' in of ? undefined : series.get(id);
    if (facts === undefined) continue;
    const size = LEVEL_MS[LEVELS.findIndex(({ name }) => name === level)] as number;
    const list = byPartition.get(facts.partition) ?? [];
    list.push({ difference, of: facts, from: start, to: start + size, offsets: [] });
    byPartition.set(facts.partition, list);
  }
  const found = new Map<Difference, NonNullable<Difference['offsets']>>();
  for (const [partition, wanted] of byPartition) {
    const whole = await search(replay, partition, wanted);
    for (const { difference, offsets } of wanted) {
      const more = !whole || offsets.length > SHOWN;
      found.set(difference, { partition, list: offsets.slice(0, SHOWN), more });
    }
  }
  return found;
}

/** False when it was given up before the end. */
async function search(replay: Replay, partition: number, wanted: readonly Wanted[]): Promise<boolean> {
  let records = 0;
  const from = Math.min(...wanted.map((one) => one.from));
  for await (const batch of replay.readAgain(partition, from)) {
    for (const record of batch) lookInto(record, wanted);
    records += batch.length;
    if (records >= RECORDS) return false;
    if (wanted.every(({ offsets }) => offsets.length > SHOWN)) return true;
  }
  return true;
}

function lookInto({ offset, lines }: TapeRecord, wanted: readonly Wanted[]): void {
  for (const one of wanted) {
    if (one.offsets.length > SHOWN) continue;
    const name = `"device":${JSON.stringify(one.of.device)}`;
    if (lines.some((line) => line.includes(name) && holds(line, one))) one.offsets.push(offset);
  }
}

function holds(line: string, { of, from, to }: Wanted): boolean {
  try {
    const envelope = decodeEnvelope(line);
    if (envelope.device !== of.device || envelope.site !== of.site) return false;
    // A derived metric is not among the readings of a line: then those that it may follow from are shown.
    const readings = readingsOf(envelope).filter(({ ts }) => ts >= from && ts < to);
    const own = readings.some(({ metric }) => metric === of.metric);
    return own || (envelope.metric === undefined && readings.length > 1);
  } catch {
    return false; // a dead letter
  }
}
