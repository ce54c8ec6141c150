import type { ArchiveReader } from '@weir/connect-minio';
import type { SentDevice } from '../open/send.ts';
import type { Offsets } from './kafka.ts';
import { readLine } from './read-line.ts';
import { type Register, type SinkReport, Tally } from './tally.ts';

/** Reads the objects that hold records between two places of the log. @param since when the run began, epoch ms */
export async function readArchive(
  archive: ArchiveReader,
  from: Offsets,
  to: Offsets,
  since: number,
  register: Register,
  devices: readonly SentDevice[],
): Promise<SinkReport> {
  const began = performance.now();
  const tally = new Tally(register);
  const take = (id: number, seq: number) => tally.take(id, seq);
  // An object bears the hour of its first record, which a spool may have held for long.
  for await (const object of archive.listObjects({ from: since })) {
    const first = from.get(object.partition) ?? 0n;
    const end = to.get(object.partition) ?? 0n;
    if (object.last < first || object.first >= end) continue;
    for (const { offset, lines } of await archive.readRecords(object))
      if (offset >= first && offset < end) for (const line of lines) readLine(register, line, take);
  }
  return tally.report(devices, 'publishes', (performance.now() - began) / 1000, null);
}
