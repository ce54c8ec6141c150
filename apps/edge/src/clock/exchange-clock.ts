import { type Consumer, openLiveQueue, openPublisher, type Publisher } from '@weir/connect-rabbitmq';
import type { Logger } from '@weir/observe';
import { EXCHANGES } from '@weir/topology';
import type { EdgeClock } from './edge-clock.ts';

const EVERY_MS = 1_000;
/** Only the newest stamps matter. */
const QUEUE = { 'x-max-length': 100, 'x-overflow': 'drop-head', 'x-message-ttl': 5_000 } as const;

/** What edges say to each other on `weir.broadcast`. */
interface ClockMessage {
  readonly kind: 'clock';
  readonly edge: string;
  readonly hlc: string;
}

export interface ClockExchangeOptions {
  readonly clock: EdgeClock;
  /** `<edge id>/<spool id>` */
  readonly edge: string;
  readonly rabbitmq: { readonly url: string; readonly heartbeatMs: number };
  readonly log: Logger;
  /** The clock of another edge is too far ahead to be taken. */
  readonly onIgnored: (edge: string) => void;
}

/**
 * Tells all edges the clock of this one every second, and learns theirs, so that their stamps stay together and what
 * one edge says after it heard of another's event is stamped later. On connections of its own: without RabbitMQ each
 * edge goes on by itself, and readings never wait for this.
 */
export class ClockExchange {
  readonly #options: ClockExchangeOptions;
  readonly #publisher: Publisher;
  readonly #consumer: Consumer;
  readonly #timer: NodeJS.Timeout;
  #isTelling = false;

  constructor(options: ClockExchangeOptions) {
    this.#options = options;
    const { rabbitmq, log, edge } = options;
    const connection = { ...rabbitmq, name: `weir-clock-${edge}`, log };
    this.#publisher = openPublisher(connection);
    this.#consumer = openLiveQueue({
      ...connection,
      bindings: [{ exchange: EXCHANGES.broadcast.name, key: '' }],
      arguments: QUEUE,
      handler: ({ body }) => this.#hear(body),
    });
    this.#consumer.start();
    this.#timer = setInterval(() => this.#tell(), EVERY_MS);
    this.#timer.unref();
  }

  /** One message on its way at a time; a broker that is away is tried again with the next. */
  #tell(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    const { clock, edge } = this.#options;
    const message: ClockMessage = { kind: 'clock', edge, hlc: clock.stamp(clock.now()) };
    const body = Buffer.from(JSON.stringify(message));
    this.#publisher
      .publish([
        {
          exchange: EXCHANGES.broadcast.name,
          key: '',
          body,
          contentType: 'application/json',
          persistent: false,
        },
      ])
      .catch(() => undefined)
      .finally(() => {
        this.#isTelling = false;
      });
  }

  #hear(body: Buffer): void {
    const { clock, edge, onIgnored } = this.#options;
    let message: Partial<ClockMessage> | null;
    try {
      message = JSON.parse(body.toString('utf8')) as Partial<ClockMessage> | null;
    } catch {
      return; // somebody else's message
    }
    if (message?.kind !== 'clock' || message.edge === edge) return;
    if (!clock.merge(message.hlc)) onIgnored(String(message.edge));
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([this.#consumer.stop(), this.#publisher.close()]);
  }
}
