import type { Logger } from '@weir/observe';
import type { ConsumerEvent } from './types.ts';

/** What an app calls its own records. */
export interface ConsumerWords {
  readonly assigned: string;
  /** So many records are gone from the log before they were read. */
  readonly missing: (records: bigint) => string;
  /** The log is shorter than the committed offset. */
  readonly shorter: string;
}

/** The log lines of a consumer's events, for apps that only tell of them. */
export function consumerLog(log: Logger, words: ConsumerWords): (event: ConsumerEvent) => void {
  return (event) => {
    switch (event.kind) {
      case 'assigned':
        log.info({ partitions: event.partitions }, words.assigned);
        break;
      case 'disconnected':
        log.warn(`${event.error.message}; reconnecting`);
        break;
      case 'reconnected':
        log.info('connected to Kafka again');
        break;
      case 'stuck':
        log.error({ silentMs: event.silentMs }, 'the Kafka client stopped reading: restarted it');
        break;
      case 'offset-out-of-range': {
        const { partition, wanted, start, end, missing } = event;
        log.error(
          {
            partition,
            wanted: String(wanted),
            start: String(start),
            end: String(end),
            missing: String(missing),
          },
          missing > 0n ? words.missing(missing) : words.shorter,
        );
      }
    }
  };
}
