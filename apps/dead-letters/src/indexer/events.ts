import { consumerLog } from '@weir/connect-kafka';
import type { NewLetter } from '@weir/dead-letters';
import { errorMessage } from '@weir/flow';
import { type Logger, type Metrics, rateLimited } from '@weir/observe';

export interface Indexed {
  readonly letters: readonly NewLetter[];
  /** Letters that were sent again and came back. */
  readonly returned: number;
  /** Letters that the index had already. */
  readonly again: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** A sentence about what a step waits for. */
const sentence = (step: keyof typeof WAITING, error: unknown): string =>
  `${WAITING[step]}: ${errorMessage(error)}`;

export type IndexerEvents = ReturnType<typeof indexerEvents>;

const WAITING = {
  'look-up': 'looking up dead letters waits for the database',
  put: 'storing the bytes of dead letters waits for the object store',
  index: 'indexing dead letters waits for the database',
  count: 'counting dead letters waits for the database',
  commit: 'committing the place in the dead-letter topic waits for Kafka',
  policy: 'lifting the delivery limit of the dead-letter queues waits for RabbitMQ',
} as const;

/** What the indexer tells: each event owns its log line and its metrics. */
export function indexerEvents(log: Logger, metrics: Metrics) {
  const limit = rateLimited();
  const waits = new Map<keyof typeof WAITING, string>();
  const indexed = metrics.counter('weir_dlq_indexed_total', 'Dead letters that are new in the index', [
    'source',
    'reason',
  ]);
  const returned = metrics.counter('weir_dlq_returned_total', 'Dead letters that came back after a replay');
  const again = metrics.counter(
    'weir_dlq_duplicates_total',
    'Arrivals of letters that the index had already',
  );
  const bytes = metrics.counter('weir_dlq_stored_bytes_total', 'Bytes of dead letters stored');
  const batch = metrics.histogram('weir_dlq_batch_seconds', 'From a full batch to its rows in the index');
  const retries = metrics.counter('weir_dlq_retries_total', 'Attempts of the indexer that failed', ['step']);
  returned.inc(0);
  again.inc(0);

  return {
    indexed(what: Indexed): void {
      for (const { originSystem, reason } of what.letters) indexed.inc({ source: originSystem, reason });
      returned.inc(what.returned);
      again.inc(what.again);
      bytes.inc(what.bytes);
      batch.observe(what.seconds);
    },
    waiting(step: keyof typeof WAITING, error: unknown, attempt: number): void {
      retries.inc({ step });
      limit(step, (suppressed) => log.warn({ step, attempt, suppressed }, sentence(step, error)));
      waits.set(step, sentence(step, error));
    },
    /** The step has been done. */
    done(step: keyof typeof WAITING): void {
      waits.delete(step);
    },
    /** What the indexer waits for now, as a sentence; undefined: nothing. */
    get waitsFor(): string | undefined {
      return waits.values().next().value;
    },
    policyRefused(error: unknown): void {
      log.error(
        `RabbitMQ drops a dead letter that was delivered 21 times in vain, and the policy against it was refused: ` +
          `${errorMessage(error)} Give the user the tag "policymaker", or set delivery-limit -1 on queues that end in .dlq`,
      );
    },
    givenUp(letters: number): void {
      if (letters > 0)
        log.warn({ letters }, 'stopped while servers were away; the next start takes these letters again');
    },
    consumer: consumerLog(log, {
      assigned: 'partitions of the dead letters assigned',
      missing: (letters) =>
        `${letters} dead letters left Kafka before they were indexed (retention.deadLetters): reading on from the earliest`,
      shorter:
        'the dead-letter topic is shorter than the committed offset (made anew): reading from its start',
    }),
  };
}
