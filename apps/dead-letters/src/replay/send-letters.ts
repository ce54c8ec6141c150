import type { OutgoingRecord, Producer } from '@weir/connect-kafka';
import type { OutgoingMessage, Publisher } from '@weir/connect-rabbitmq';
import { errorMessage, retrying, WeirError } from '@weir/flow';
import type { Outgoing } from './make-message.ts';

export interface SendOptions {
  readonly producer: Producer;
  readonly publisher: Publisher;
  readonly onAway: (doing: string, error: unknown) => void;
}

const BACKOFF = { baseMs: 100, maxMs: 5_000 };

/**
 * Makes a step that sends letters in their order, until their destinations have confirmed each of them. Answers, by
 * index, why a destination refuses one; the others are there. While a destination is away or full it keeps trying, so
 * a letter may arrive more than once. The step throws when `signal` aborts; then nothing is known of the letters.
 */
export function sendLetters({ producer, publisher, onAway }: SendOptions) {
  /** The producer takes one call at a time. */
  let producing: Promise<unknown> = Promise.resolve();

  const toKafka = (topic: string, records: readonly OutgoingRecord[], signal: AbortSignal): Promise<void> =>
    retrying(
      () => {
        const sent = producing.then(() => producer.send(topic, records));
        producing = sent.catch(() => undefined);
        return sent;
      },
      { ...BACKOFF, signal, onRetry: (error) => onAway('sending a replay to Kafka', error) },
    );

  /** A request that the broker refuses is halved until the refused record is alone. */
  async function produce(
    topic: string,
    records: readonly (readonly [index: number, record: OutgoingRecord])[],
    signal: AbortSignal,
    failures: Map<number, string>,
  ): Promise<void> {
    try {
      await toKafka(
        topic,
        records.map(([, record]) => record),
        signal,
      );
    } catch (error) {
      if (!(error instanceof WeirError) || error.retry !== 'data') throw error;
      const [first] = records as [(typeof records)[number]];
      if (records.length === 1) {
        failures.set(first[0], errorMessage(error));
        return;
      }
      const half = records.length >> 1;
      await produce(topic, records.slice(0, half), signal, failures);
      await produce(topic, records.slice(half), signal, failures);
    }
  }

  /** Those that a queue did not take because it is full go again, and may then stand behind others. */
  async function publish(
    messages: readonly (readonly [index: number, message: OutgoingMessage])[],
    signal: AbortSignal,
    failures: Map<number, string>,
  ): Promise<void> {
    let left = messages;
    await retrying(
      async () => {
        const answers = await publisher.publish(left.map(([, message]) => message));
        for (const [at, why] of answers) {
          const [index, { key }] = left[at] as (typeof left)[number];
          if (why === 'unroutable') failures.set(index, `there is no queue ${key} any more`);
        }
        left = left.filter((_, at) => answers.get(at) === 'nacked');
        if (left.length > 0)
          throw new WeirError('WEIR_REJECTED', 'transient', `RabbitMQ did not take ${left.length} letters`);
      },
      {
        ...BACKOFF,
        signal,
        onRetry: (error) => onAway('sending a replay to RabbitMQ', error),
      },
    );
  }

  return async function sendLetters(
    letters: readonly Outgoing[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, string>> {
    const failures = new Map<number, string>();
    const records = letters.flatMap((letter, index) =>
      letter.system === 'kafka' ? [[index, letter.record] as const] : [],
    );
    const messages = letters.flatMap((letter, index) =>
      letter.system === 'rabbitmq' ? [[index, letter.message] as const] : [],
    );
    const topic = letters.find(({ system }) => system === 'kafka')?.destination;
    if (topic !== undefined) await produce(topic, records, signal, failures);
    if (messages.length > 0) await publish(messages, signal, failures);
    return failures;
  };
}
