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
  let bytes = 0;
  // An object bears the hour of its first record, which a spool may have held for long.
  for await (const object of archive.listObjects({ from: since })) {
    const first = from.get(object.partition) ?? 0n;
    const end = to.get(object.partition) ?? 0n;
    if (object.last < first || object.first >= end) continue;
    let own = 0;
    let all = 0;
    for (const { offset, lines } of await archive.readRecords(object)) {
      all += lines.length;
      if (offset >= first && offset < end)
        for (const line of lines) if (readLine(register, line, take)) own++;
    }
    bytes += (object.size * own) / Math.max(1, all);
  }
  return { ...tally.report(devices, 'publishes', (performance.now() - began) / 1000, null), bytes };
}
