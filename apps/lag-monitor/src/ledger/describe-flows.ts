import type { Ledger } from '@weir/api';
import type { PressureWatch } from '../pressure/watch.ts';
import type { Measured } from './measure-ledger.ts';

const NOTHING = {
  accepted: null,
  sent: null,
  stored: null,
  duplicates: null,
  deadLettered: null,
  dropped: null,
};

/**
 * What is counted and cannot be balanced. RabbitMQ gives its messages no place that a reader could miss: an edge that
 * died before its cursor was saved publishes again, the broker delivers again, and both look like any other message.
 */
export function describeFlows(
  queues: Measured['queueLetters'],
  counted: PressureWatch['counted'],
): Ledger['flows'] {
  return [
    {
      ...NOTHING,
      ...{ flow: 'alerter', unit: 'readings' },
      sent: counted('edge', 'forward-rabbitmq', 'stored'),
      stored: counted('alerter', 'alerter', 'stored'),
      dropped: counted('edge', 'forward-rabbitmq', 'dropped'),
      inFlight: null,
      text:
        'Readings that edges published with confirms, and those that the alerter held against the rules, each since its ' +
        'process was started: both count repetitions, so their difference says nothing. Kafka has all of them.',
    },
    {
      ...NOTHING,
      ...{ flow: 'dead-letter-queues', unit: 'letters' },
      stored: queues.taken,
      inFlight: queues.waiting,
      text: 'Dead letters that came out of queues of RabbitMQ into the index, and those that wait there.',
    },
  ];
}
