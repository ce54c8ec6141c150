import {
  type Consumer,
  type ConsumerHandler,
  type KafkaRecord,
  openConsumer,
  type Place,
} from '@weir/connect-kafka';
import { type Database, moveLetterPlace, openLetterPlace } from '@weir/connect-timescale';
import { type OriginReader, readArrival } from '@weir/dead-letters';
import type { AppContext } from '@weir/lifecycle';
import { kafkaTopology } from '@weir/topology';
import type { IndexerEvents } from './events.ts';
import { persisting } from './persist.ts';
import type { Press } from './press.ts';

export interface InboxOptions {
  readonly context: AppContext;
  readonly press: Press;
  readonly readOrigin: OriginReader;
  readonly events: IndexerEvents;
  /** Aborts when nobody waits for what is under way any more. */
  readonly giveUp: AbortSignal;
}

/** Letters of one partition that are in the press at a time. */
const AT_A_TIME = 1_000;

/** What is counted of one partition since it was assigned. */
interface PartitionLedger {
  readonly log: Pick<Place, 'committed' | 'end'>;
  /** Where the log was seen to begin. */
  readonly start: bigint;
  /** Null before its first letters. */
  place: Awaited<ReturnType<typeof openLetterPlace>> | null;
}

/** The dead-letter topic: its letters into the press, the ledger, then the group's offset. Kafka keeps its copy. */
export function kafkaInbox(
  { context, press, readOrigin, events, giveUp }: InboxOptions,
  database: Database,
): Consumer {
  const { config, log } = context;
  const { deadLetters, groups } = kafkaTopology(config.namespace);
  const topic = deadLetters.name;
  const persist = persisting(events, giveUp);
  const ledgers = new Map<number, PartitionLedger>();

  const take = (partition: number, record: KafkaRecord): Promise<string> => {
    const { offset, timestamp, key, headers, value } = record;
    const found = { in: 'kafka', topic, partition, offset, timestamp } as const;
    const arrival = { found, key, headers, properties: {}, bytes: value };
    return press.add({ letter: readArrival(arrival, readOrigin, Date.now()), mark: null });
  };
  /** These are in the index; what left the log in front of them is not. */
  const count = async (partition: number, part: readonly KafkaRecord[]): Promise<void> => {
    const [first, last] = [part[0] as KafkaRecord, part.at(-1) as KafkaRecord];
    const ledger = ledgers.get(partition) as PartitionLedger;
    ledger.place = await persist('count', async () => {
      const known = ledger.place ?? (await openLetterPlace(database, topic, partition, ledger.log));
      const passed = { first: first.offset, next: last.offset + 1n, start: ledger.start };
      return moveLetterPlace(database, topic, partition, known, passed);
    });
  };
  const commit = (partition: number, next: bigint): Promise<unknown> =>
    persist('commit', () => consumer.commit(new Map([[partition, next]])));

  const handler: ConsumerHandler = {
    assigned(partition, log) {
      ledgers.set(partition, { log, start: log.start, place: null });
      return Promise.resolve(null);
    },
    async batch(partition, records) {
      try {
        for (let at = 0; at < records.length && !giveUp.aborted; at += AT_A_TIME) {
          const part = records.slice(at, at + AT_A_TIME);
          await Promise.all(part.map((record) => take(partition, record)));
          await count(partition, part);
          // A partition that has moved is left out of the commit: its new owner reads these again, harmlessly.
          await commit(partition, (part.at(-1) as KafkaRecord).offset + 1n);
        }
      } catch (error) {
        // Nothing is lost: the records are not committed, and the next start begins with them.
        if (!giveUp.aborted) throw error;
      }
    },
    revoked: () => Promise.resolve(),
  };
  const consumer = openConsumer({
    brokers: config.kafka.brokers,
    clientId: 'weir-dead-letters',
    requestTimeoutMs: config.kafka.requestTimeout,
    groupId: groups.deadLetters,
    topic,
    sessionTimeoutMs: config.kafka.sessionTimeout,
    // Letters of one kind compress twentyfold. Measured over 100,000: 596 MiB resident with 256 KiB, 317 MiB with this.
    maxBytesPerPartition: 32 << 10,
    log,
    handler,
    onEvent(event) {
      if (event.kind === 'offset-out-of-range') {
        const { partition, start, end } = event;
        ledgers.set(partition, { log: { committed: null, end }, start, place: null });
      }
      events.consumer(event);
    },
    onFatal: (error) => context.fatal(`reading topic ${topic}`, error),
  });
  return consumer;
}
