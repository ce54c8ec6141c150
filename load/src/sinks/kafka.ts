import type { LogReader, PartitionOffsets } from '@weir/connect-kafka';
import { splitLines } from '@weir/reading';
import type { SentDevice } from '../open/send.ts';
import { readLine } from './read-line.ts';
import { type Register, type SinkReport, Tally } from './tally.ts';

const READ_BYTES = 4 << 20;

/** Next offset of each partition. */
export type Offsets = ReadonlyMap<number, bigint>;
export const endsOf = (places: readonly PartitionOffsets[]): Offsets =>
  new Map(places.map(({ partition, end }) => [partition, end]));

/** Calls `visit` for every record between two places of a topic, partition by partition. */
export async function readBetween(
  log: LogReader,
  from: Offsets,
  to: Offsets,
  visit: (record: Awaited<ReturnType<LogReader['read']>>[number]) => void,
): Promise<void> {
  for (const [partition, end] of to) {
    let next = from.get(partition) ?? 0n;
    while (next < end) {
      const records = await log.read(partition, next, READ_BYTES);
      if (records.length === 0) break;
      for (const record of records) if (record.offset < end) visit(record);
      next = (records.at(-1)?.offset ?? next) + 1n;
    }
  }
}

export async function readKafka(
  log: LogReader,
  from: Offsets,
  to: Offsets,
  register: Register,
  devices: readonly SentDevice[],
): Promise<{ readonly report: SinkReport; readonly tally: Tally }> {
  const began = performance.now();
  const tally = new Tally(register);
  const take = (id: number, seq: number) => tally.take(id, seq);
  await readBetween(log, from, to, ({ value }) => {
    for (const line of splitLines(value)) readLine(register, line, take);
  });
  return { report: tally.report(devices, 'publishes', (performance.now() - began) / 1000, null), tally };
}

/** Dead letters of this run: how many for each reason, and which readings came too late for their windows. */
export async function readLetters(
  log: LogReader,
  from: Offsets,
  register: Register,
  sites: readonly string[],
): Promise<{ readonly byReason: Readonly<Record<string, number>>; readonly late: Tally }> {
  const late = new Tally(register);
  const byReason: Record<string, number> = {};
  const marks = sites.map((site) => `/${site}/`);
  await readBetween(log, from, endsOf(await log.ends()), ({ value, headers }) => {
    const reason = headers['x-dlq-reason'] ?? 'unknown';
    const origin = headers['x-dlq-origin'] ?? '';
    let isOurs = marks.some((mark) => origin.includes(mark));
    for (const line of splitLines(value))
      if (readLine(register, line, (id, seq) => reason === 'late' && late.take(id, seq))) isOurs = true;
    if (isOurs) byReason[reason] = (byReason[reason] ?? 0) + 1;
  });
  return { byReason, late };
}
