import type { PublishFailure } from '@weir/connect-rabbitmq';
import { errorMessage } from '@weir/flow';
import { type Logger, ledgerCounter, type Metrics, rateLimited } from '@weir/observe';
import type { EdgeClock } from '../clock/index.ts';
import { DESTINATIONS, type Destination, HOP_OF, type SpoolReader } from '../spool/index.ts';
import { secondsBehind } from './pressure.ts';
import type { BindingEvents } from './watch-bindings.ts';

/** Both end in RabbitMQ. */
const LANES = ['rabbitmq', 'critical'] as const;

/** How a destination does; `lastError` is null while it takes records. */
export interface DestinationStatus {
  readonly state: 'idle' | 'delivering' | 'away' | 'refusing';
  readonly lastError: string | null;
}

/** Everything the forwarders tell: each event owns its log line and its metrics. */
export class ForwardEvents implements BindingEvents {
  readonly #log: Logger;
  readonly #limited = rateLimited();
  readonly #status = new Map<Destination, DestinationStatus>();
  readonly #ledger;
  readonly #retries;
  readonly #notTaken;
  readonly #undeliverable;
  readonly #sentAgain;
  readonly #unverified;

  constructor(log: Logger, metrics: Metrics) {
    this.#log = log;
    this.#ledger = ledgerCounter(metrics);
    this.#retries = metrics.counter('weir_forward_retries_total', 'Rounds that had to be sent again', [
      'destination',
    ]);
    this.#notTaken = metrics.counter('weir_forward_not_taken_total', 'Messages that RabbitMQ did not take', [
      'reason',
    ]);
    this.#undeliverable = metrics.counter(
      'weir_forward_undeliverable_total',
      'Records or messages that a destination can never take',
      ['destination'],
    );
    this.#sentAgain = metrics.counter(
      'weir_forward_sent_again_total',
      'Records sent to RabbitMQ once more, because bindings were missing or were not seen for a while',
    );
    this.#unverified = metrics.counter(
      'weir_forward_unverified_total',
      'Records that RabbitMQ took while nobody could see the bindings, and that the spool could not keep longer',
    );
  }

  observe(
    metrics: Metrics,
    readers: Readonly<Record<Destination, SpoolReader>>,
    clock: Pick<EdgeClock, 'latest'>,
  ): void {
    const each = (
      name: string,
      help: string,
      read: (name: Destination, reader: SpoolReader) => number,
    ): void => {
      metrics.gauge(name, help, ['destination'], (gauge) => {
        for (const destination of DESTINATIONS)
          gauge.set({ destination }, read(destination, readers[destination]));
      });
    };
    each('weir_spool_behind_records', 'Spool records not yet delivered', (_, { behind }) => behind.records);
    each('weir_spool_behind_bytes', 'Spool bytes not yet delivered', (_, { behind }) => behind.bytes);
    each('weir_spool_behind_seconds', 'Age of the oldest record not yet delivered', (_, reader) =>
      secondsBehind(reader, clock),
    );
    metrics.gauge(
      'weir_forward_held_records',
      'Records that RabbitMQ has taken and the spool keeps until the bindings were seen after them',
      [],
      (gauge) => gauge.set(readers.rabbitmq.held.records + readers.critical.held.records),
    );
  }

  status(name: Destination): DestinationStatus {
    return this.#status.get(name) ?? { state: 'idle', lastError: null };
  }

  stored(name: Destination, readings: number): void {
    if (readings > 0) this.#ledger.inc({ hop: HOP_OF[name], outcome: 'stored', reason: '' }, readings);
  }
  delivered(name: Destination): void {
    if (this.status(name).lastError !== null) this.#log.info({ destination: name }, 'delivering again');
    this.#status.set(name, { state: 'delivering', lastError: null });
  }
  /** Nothing is lost: the spool keeps what was to be delivered. */
  away(name: Destination, error: Error): void {
    this.#status.set(name, { state: 'away', lastError: errorMessage(error) });
    this.#retries.inc({ destination: name });
    this.#limited(`away ${name}`, (held) =>
      this.#log.warn(
        { destination: name, error: errorMessage(error), held },
        'cannot deliver, trying again; the spool keeps the readings',
      ),
    );
  }
  notTaken(
    name: Destination,
    failures: ReadonlyMap<number, PublishFailure>,
    sent: readonly { readonly key: string }[],
  ): void {
    for (const [index, reason] of failures) {
      this.#notTaken.inc({ reason });
      const key = sent[index]?.key;
      this.#status.set(name, { state: 'refusing', lastError: `${reason}: ${key}` });
      this.#limited(`not taken ${name} ${reason}`, (held) =>
        this.#log.warn(
          { destination: name, reason, key, held },
          reason === 'unroutable'
            ? 'RabbitMQ has no queue for a message, trying again; apply the topology with "weir up"'
            : 'a RabbitMQ queue refuses a message (full, or without a majority), trying again',
        ),
      );
    }
  }
  bindingsMissing(differences: readonly string[]): void {
    const lastError = differences.join('; ');
    for (const name of LANES) this.#status.set(name, { state: 'refusing', lastError });
    this.#limited(`missing ${lastError}`, (held) =>
      this.#log.warn(
        { differences, held },
        'RabbitMQ lacks bindings: nothing is sent until they are back, then everything since they were last seen; ' +
          'they are put back by themselves, or by `weir topology apply`',
      ),
    );
  }
  sentAgain(records: number, why: string): void {
    this.#sentAgain.inc(records);
    this.#log.info({ records, why }, 'sending to RabbitMQ again; consumers know what they have seen');
  }
  bindingsUnseen(error: unknown): void {
    this.#limited('unseen', (held) =>
      this.#log.warn(
        { error: errorMessage(error), held },
        'cannot compare the bindings of RabbitMQ; the spool keeps what is sent meanwhile',
      ),
    );
  }
  unverified(records: number): void {
    this.#unverified.inc(records);
    this.#limited('unverified', (held) =>
      this.#log.error(
        { records, held },
        'the spool has no room to keep what was sent while the bindings could not be seen: check rabbitmq.managementUrl',
      ),
    );
  }
  buried(readings: number, error: Error): void {
    this.#ledger.inc({ hop: 'forward-kafka', outcome: 'dead_lettered', reason: 'sink-data' }, readings);
    this.#limited('buried', (held) =>
      this.#log.warn({ error: errorMessage(error), held }, 'Kafka refuses a record: it became a dead letter'),
    );
  }
  lostInSpool(readings: number): void {
    this.#ledger.inc({ hop: 'spool', outcome: 'lost', reason: '' }, readings);
    this.#log.error(
      { readings },
      'acknowledged readings are missing in the spool: its files were damaged or taken away',
    );
  }
  lostDeadLetter(bytes: number, error: Error): void {
    this.#undeliverable.inc({ destination: 'kafka' });
    this.#log.error({ bytes, error: errorMessage(error) }, 'Kafka refuses a dead letter: it is lost');
  }
  undecodable({ n, count, why }: { n: number; count: number; why: string }): void {
    this.#undeliverable.inc({ destination: 'rabbitmq' });
    this.#limited('undecodable', (held) =>
      this.#log.error({ n, count, why, held }, 'a spool record cannot be decoded for RabbitMQ; Kafka has it'),
    );
  }
  unpublishable(name: Destination, key: string, error: Error): void {
    this.#undeliverable.inc({ destination: name });
    this.#log.error(
      { key, error: errorMessage(error) },
      'AMQP cannot carry a message; Kafka has its readings',
    );
  }
}
