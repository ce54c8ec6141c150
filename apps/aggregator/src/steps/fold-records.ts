import { forgetRecords, type KafkaRecord } from '@weir/connect-kafka';
import type { LedgerPart } from '@weir/connect-timescale';
import { RECORD_HEADERS } from '@weir/topology';
import type { Events } from '../events.ts';
import { MAX_SAMPLES, type Partitions, silenceClock } from '../partitions.ts';

/** Makes a step that folds records into the windows of their partition; waits while too much is not committed. */
export function fold(
  partitions: Partitions,
  ledger: Pick<LedgerPart, 'take'>,
  events: Pick<Events, 'missing'>,
) {
  /** @param end next offset of the log when these were read */
  return async function foldRecords(
    partition: number,
    records: readonly KafkaRecord[],
    end: bigint,
  ): Promise<void> {
    const began = performance.now();
    for (const record of records) {
      if (!partitions.free) await partitions.room();
      const held = partitions.get(partition);
      // Released or stopping: what is not folded here is read again by the next owner.
      if (held === undefined || partitions.isEnded) return;
      const replayed = record.offset < held.state.nextOffset;
      held.foldedSince ??= began;
      held.behindSince ??= began;
      if (!replayed) {
        const missing = ledger.take(partition, record.headers[RECORD_HEADERS.sent], record.offset) ?? 0;
        if (missing > 0) events.missing(partition, record.offset, missing);
      }
      held.folded += held.state.apply(record.offset, record.value, silenceClock(held, began));
      if (partitions.halfFull) partitions.onHalfFull();
      if (!replayed && held.samples.length < MAX_SAMPLES) held.samples.push(record.timestamp);
    }
    forgetRecords(records);
    const held = partitions.get(partition);
    if (held?.behindSince === undefined || (records.at(-1)?.offset ?? 0n) + 1n < end) return;
    held.behindMs += performance.now() - held.behindSince;
    held.behindSince = undefined;
  };
}
