import { randomUUID } from 'node:crypto';
import type { Subscription, SubscriptionRequest } from '@weir/api';
import {
  applyTopology,
  type ConnectionOptions,
  type Delivery,
  manage,
  openConsumer,
  type QueueDepth,
  queueDepths,
  vhostOf,
} from '@weir/connect-rabbitmq';
import type { Database } from '@weir/connect-timescale';
import { errorMessage, WeirError } from '@weir/flow';
import type { Logger } from '@weir/observe';
import { subscriptionQueue, subscriptionQueueName, TABLES } from '@weir/topology';
import { ApiProblem } from '../http/problems.ts';
import { linesOf } from './lines.ts';

const MOST = 500;
const READERS = 100;
const PREFETCH = 100;
/** Statistics of the broker are as old as this; a younger subscription may not be among them. */
const SEEN_AFTER_MS = 30_000;

interface Row {
  readonly id: string;
  readonly pattern: string;
  readonly message_ttl_ms: number;
  readonly expires_ms: number;
  readonly max_messages: number;
  readonly ordered: boolean;
  readonly created_at: Date;
  readonly created_by: string;
}
const COLUMNS = `id, pattern, message_ttl_ms::float8 AS message_ttl_ms, expires_ms::float8 AS expires_ms, max_messages,
  ordered, created_at, created_by`;

/** Where a reader's lines go. */
export interface LineSink {
  /** The reader is let in; lines follow. */
  begin(): void;
  /** False: nothing more until `drained`. */
  write(text: string): boolean;
  /** Resolves when there is room, or when the reader has gone. */
  drained(): Promise<void>;
}

export interface SubscriptionOptions {
  readonly database: Database;
  readonly rabbitmq: ConnectionOptions & { readonly managementUrl: string; readonly log: Logger };
}

const queueOf = (row: Row) =>
  subscriptionQueue(row.id, row.pattern, {
    maxMessages: row.max_messages,
    messageTtlMs: row.message_ttl_ms,
    expiresMs: row.expires_ms,
    ordered: row.ordered,
  });

function show(row: Row, depth: QueueDepth | undefined): Subscription {
  const queue = queueOf(row);
  return {
    id: row.id,
    pattern: row.pattern,
    keys: queue.bindings.map(({ key }) => key),
    queue: queue.name,
    maxMessages: row.max_messages,
    messageTtl: row.message_ttl_ms / 1_000,
    expires: row.expires_ms / 1_000,
    ordered: row.ordered,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    waiting: depth === undefined ? null : depth.ready + depth.unacked,
    readers: depth?.consumers ?? null,
  };
}

/** Queues that people make for tools of their own; see the table `subscriptions`. */
export class Subscriptions {
  readonly #database: Database;
  readonly #rabbitmq: SubscriptionOptions['rabbitmq'];
  readonly #readers = new Set<() => void>();

  constructor({ database, rabbitmq }: SubscriptionOptions) {
    this.#database = database;
    this.#rabbitmq = rabbitmq;
  }

  async create(request: SubscriptionRequest, by: string): Promise<Subscription> {
    const rows = await this.#database.query<Row>(
      'making a subscription',
      `INSERT INTO ${TABLES.subscriptions} (id, pattern, message_ttl_ms, expires_ms, max_messages, ordered, created_by)
       SELECT $1, $2, $3, $4, $5, $6, $7 WHERE (SELECT count(*) FROM ${TABLES.subscriptions}) < ${MOST}
       RETURNING ${COLUMNS}`,
      [
        randomUUID(),
        request.pattern,
        request.messageTtl * 1_000,
        request.expires * 1_000,
        request.maxMessages,
        request.ordered,
        by,
      ],
    );
    const [row] = rows;
    if (row === undefined)
      throw new ApiProblem('refused', `There are ${MOST} subscriptions already; remove some.`);
    try {
      await this.#declare(row);
    } catch (error) {
      await this.#forget(row.id);
      throw error;
    }
    return show(row, undefined);
  }

  /** Oldest first. Those whose queue has expired are forgotten. */
  async list(): Promise<Subscription[]> {
    const rows = await this.#database.query<Row>(
      'listing subscriptions',
      `SELECT ${COLUMNS} FROM ${TABLES.subscriptions} ORDER BY created_at, id`,
    );
    const { managementUrl, url } = this.#rabbitmq;
    const depths = await queueDepths(managementUrl, vhostOf(url)).catch(() => null);
    const byName = new Map(depths?.map((depth) => [depth.name, depth]));
    const isGone = (row: Row): boolean =>
      depths !== null &&
      !byName.has(subscriptionQueueName(row.id)) &&
      Date.now() - row.created_at.getTime() > SEEN_AFTER_MS;
    for (const row of rows) if (isGone(row)) await this.#forget(row.id);
    return rows
      .filter((row) => !isGone(row))
      .map((row) => show(row, byName.get(subscriptionQueueName(row.id))));
  }

  async remove(id: string): Promise<void> {
    await this.#row(id);
    const { managementUrl, url } = this.#rabbitmq;
    const path = `/api/queues/${encodeURIComponent(vhostOf(url))}/${subscriptionQueueName(id)}`;
    try {
      await manage(managementUrl, path, { method: 'DELETE' });
    } catch (error) {
      // Expired: nothing is left to delete.
      if (!(error instanceof WeirError && error.code === 'WEIR_STATE')) throw error;
    }
    await this.#forget(id);
  }

  /**
   * Writes what arrives as lines of JSON until `gone`. A message is acknowledged when the sink has taken it: what a
   * reader that leaves was not sent goes to the next one. Resolves at the end; throws `ApiProblem`.
   */
  async read(id: string, sink: LineSink, gone: AbortSignal): Promise<void> {
    const row = await this.#row(id);
    if (this.#readers.size >= READERS)
      throw new ApiProblem('refused', `${READERS} readers are connected to this gateway already.`);
    const ended = Promise.withResolvers<void>();
    this.#readers.add(ended.resolve);
    gone.addEventListener('abort', () => ended.resolve(), { once: true });
    if (gone.aborted) ended.resolve();
    let isOver = false;
    try {
      await this.#declare(row); // it may have expired since it was listed
      const { url, heartbeatMs, log } = this.#rabbitmq;
      const consumer = openConsumer({
        url,
        ...(heartbeatMs === undefined ? {} : { heartbeatMs }),
        name: `weir gateway, subscription ${id}`,
        queue: subscriptionQueueName(id),
        prefetch: PREFETCH,
        log,
        handler: async (delivery: Delivery) => {
          if (isOver) return 'requeue';
          if (!sink.write(linesOf(delivery))) await Promise.race([sink.drained(), ended.promise]);
          return isOver ? 'requeue' : 'ack';
        },
      });
      sink.begin();
      consumer.start();
      await ended.promise;
      isOver = true;
      await consumer.stop();
    } finally {
      this.#readers.delete(ended.resolve);
    }
  }

  /** Ends all readers. */
  stop(): void {
    for (const end of this.#readers) end();
  }

  async #declare(row: Row): Promise<void> {
    try {
      await applyTopology(this.#rabbitmq, { exchanges: [], queues: [queueOf(row)] });
    } catch (error) {
      throw new ApiProblem('refused', `RabbitMQ does not make the queue: ${errorMessage(error)}`, {
        cause: error,
      });
    }
  }
  async #row(id: string): Promise<Row> {
    const [row] = await this.#database.query<Row>(
      'reading a subscription',
      `SELECT ${COLUMNS} FROM ${TABLES.subscriptions} WHERE id = $1`,
      [id],
    );
    if (row === undefined)
      throw new ApiProblem('not-found', `There is no subscription ${id}; it may have expired.`);
    return row;
  }
  async #forget(id: string): Promise<void> {
    await this.#database.query(
      'removing a subscription',
      `DELETE FROM ${TABLES.subscriptions} WHERE id = $1`,
      [id],
    );
  }
}
