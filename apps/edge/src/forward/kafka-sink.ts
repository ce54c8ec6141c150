import { randomUUID } from 'node:crypto';
import type { OutgoingRecord, Producer } from '@weir/connect-kafka';
import { errorMessage, WeirError } from '@weir/flow';
import { deadLetterHeaders } from '@weir/reading';
import { type KafkaTopology, RECORD_HEADERS } from '@weir/topology';
import type { Note, SpoolReader, SpoolRecord } from '../spool/index.ts';
import type { ForwardEvents } from './events.ts';
import type { Sink } from './flow.ts';
import { lineAt, lineDevice } from './line.ts';
import { makePack, type Pack, packRecords } from './pack-records.ts';
import { persist } from './persist.ts';
import type { Tally } from './tally.ts';

export interface KafkaSinkOptions {
  readonly producer: Producer;
  readonly topics: KafkaTopology;
  readonly packed: boolean;
  readonly events: ForwardEvents;
  readonly tally: Tally;
  readonly reader: Pick<SpoolReader, 'droppedUpTo'>;
}

const isData = (error: unknown): error is WeirError => error instanceof WeirError && error.retry === 'data';

/** Readings to the readings topic, then dead letters to theirs; one request in flight, so n keeps its order. */
export function kafkaSink(options: KafkaSinkOptions): Sink {
  const { producer, topics, packed, events, tally, reader } = options;
  const pack = packRecords({ packed, deadLetterPartitions: topics.deadLetters.partitions });

  /** The records of one request, in their order; each says how many readings of its partition went before it. */
  const telling = (): ((pack: Pack) => OutgoingRecord) => {
    const inRequest = new Map<number, number>();
    return ({ partition, readings, record }) => {
      const earlier = inRequest.get(partition) ?? 0;
      inRequest.set(partition, earlier + readings);
      const sent = tally.header(partition, readings, earlier);
      return { ...record, headers: { ...record.headers, [RECORD_HEADERS.sent]: sent } };
    };
  };

  const deliver = async (records: readonly SpoolRecord[], stopping: AbortSignal): Promise<Note> => {
    const persistence = { stopping, onFailure: (error: Error) => events.away('kafka', error) };
    const send = (topic: string, batch: readonly OutgoingRecord[]): Promise<void> =>
      persist(() => producer.send(topic, batch), persistence);

    const sendDeadLetters = async (letters: readonly OutgoingRecord[]): Promise<void> => {
      if (letters.length === 0) return;
      try {
        await send(topics.deadLetters.name, letters);
      } catch (error) {
        if (!isData(error)) throw error;
        if (letters.length === 1) events.lostDeadLetter(letters[0]?.value.length ?? 0, error);
        else for (const letter of letters) await sendDeadLetters([letter]);
      }
    };
    const bury = async ({ lines, readings, partition }: Pack, error: WeirError): Promise<void> => {
      const line = lines[0] as Buffer;
      const now = Date.now();
      await sendDeadLetters([
        {
          partition: partition % topics.deadLetters.partitions,
          key: lineDevice(line),
          value: line,
          timestamp: now,
          headers: deadLetterHeaders({
            id: randomUUID(),
            reason: 'sink-data',
            stage: 'forward-kafka',
            errorClass: error.code,
            errorMessage: errorMessage(error),
            firstFailedAt: now,
            lastFailedAt: now,
            originSystem: 'kafka',
            origin: topics.readings.name,
            originalTimestamp: lineAt(line, now),
            retryable: false,
            replayCount: 0,
          }),
        },
      ]);
      tally.bury(readings);
      events.buried(readings, error);
    };
    /** A refused request is halved until the refused line is alone; the others arrive, in their order. */
    const sendPacks = async (packs: readonly Pack[]): Promise<void> => {
      if (packs.length === 0) return;
      try {
        await send(topics.readings.name, packs.map(telling()));
        for (const { partition, readings } of packs) tally.arrived(partition, readings);
        events.stored(
          'kafka',
          packs.reduce((sum, { readings }) => sum + readings, 0),
        );
      } catch (error) {
        if (!isData(error)) throw error;
        if (packs.length > 1) {
          const half = packs.length >> 1;
          await sendPacks(packs.slice(0, half));
          await sendPacks(packs.slice(half));
          return;
        }
        const [only] = packs as [Pack];
        if (only.lines.length === 1) await bury(only, error);
        else await sendPacks(only.lines.map((line) => linePack(only, line, records)));
      }
    };

    const lost = tally.receive(records, (n) => reader.droppedUpTo(n));
    if (lost > 0) events.lostInSpool(lost);
    const round = pack(records);
    await sendPacks(round.packs);
    await sendDeadLetters(round.deadLetters);
    events.delivered('kafka');
    return tally.note();
  };
  return { deliver, close: () => producer.close(), isBlocked: () => false };
}

/** One line of a pack on its own; as it is rare, the count of readings is looked up. */
function linePack(pack: Pack, line: Buffer, records: readonly SpoolRecord[]): Pack {
  const count = records.find(({ body }) => body === line)?.count ?? 1;
  return makePack(pack.partition, [line], count, false);
}
