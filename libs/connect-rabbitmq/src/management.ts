import { errorMessage, WeirError } from '@weir/flow';
import { safeUrl } from './errors.ts';

const DEADLINE_MS = 5_000;
const PAGE_SIZE = 500;

export interface QueueDepth {
  readonly name: string;
  /** Messages waiting. */
  readonly ready: number;
  /** Messages delivered and not settled. */
  readonly unacked: number;
  /** Bytes of the bodies in the queue, 0 when the broker has not counted them yet. */
  readonly bytes: number;
  readonly consumers: number;
  /** Messages a second, averaged by the broker. */
  readonly publishRate: number;
  readonly deliverRate: number;
  /** Messages that consumers have settled or took without settling, since the broker counts. */
  readonly done: number;
  /** Second at which the message at the head was published, epoch milliseconds; null: no timestamp, or a quorum queue. */
  readonly headAt: number | null;
  /** quorum, classic, stream */
  readonly type: string;
  /** It belongs to one connection and ends with it. */
  readonly exclusive: boolean;
  readonly arguments: Readonly<Record<string, unknown>>;
}

interface QueueRow {
  name: string;
  messages_ready?: number;
  messages_unacknowledged?: number;
  message_bytes?: number;
  consumers?: number;
  message_stats?: {
    publish_details?: { rate?: number };
    deliver_get_details?: { rate?: number };
    ack?: number;
    deliver_no_ack?: number;
    get_no_ack?: number;
  };
  head_message_timestamp?: number | '' | null;
  type?: string;
  exclusive?: boolean | null;
  arguments?: Record<string, unknown>;
}

/**
 * A request to the management API; `path` begins with `/api/`. Throws `WeirError`; `WEIR_STATE` when what the path names
 * does not exist.
 */
export async function manage<T>(
  managementUrl: string,
  path: string,
  init: { method?: string; body?: unknown } = {},
): Promise<T> {
  const url = new URL(path, managementUrl);
  const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  url.username = '';
  url.password = '';
  const doing = `asking RabbitMQ's management API at ${safeUrl(managementUrl)} for ${path}`;
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method: init.method ?? 'GET',
      headers: {
        authorization: `Basic ${Buffer.from(user).toString('base64')}`,
        'content-type': 'application/json',
      },
      signal: AbortSignal.timeout(DEADLINE_MS),
      ...(init.body === undefined ? {} : { body: JSON.stringify(init.body) }),
    });
    text = await response.text();
  } catch (error) {
    const cause = (error as { cause?: unknown }).cause;
    throw new WeirError(
      'WEIR_CONNECT_FAILED',
      'transient',
      `${doing}: ${errorMessage(cause ?? error)}`,
      error,
    );
  }
  if (response.status === 401 || response.status === 403) {
    throw new WeirError(
      'WEIR_UNAUTHORIZED',
      'fatal',
      `${doing}: the user may not. It needs the tag "monitoring"; check rabbitmq.managementUrl.`,
    );
  }
  if (response.status === 404) throw new WeirError('WEIR_STATE', 'data', `${doing}: there is none`);
  if (!response.ok) {
    throw new WeirError(
      'WEIR_REJECTED',
      response.status >= 500 ? 'transient' : 'data',
      `${doing}: ${response.status} ${text.slice(0, 200)}`,
    );
  }
  return (text === '' ? undefined : JSON.parse(text)) as T;
}

/** Rows of all queues of a virtual host, page by page. */
async function queueRows(managementUrl: string, vhost: string, more = ''): Promise<QueueRow[]> {
  const rows: QueueRow[] = [];
  for (let page = 1, pages = 1; page <= pages; page++) {
    const answer = await manage<{ items: QueueRow[]; page_count: number }>(
      managementUrl,
      `/api/queues/${encodeURIComponent(vhost)}?page=${page}&page_size=${PAGE_SIZE}${more}`,
    );
    pages = answer.page_count;
    rows.push(...answer.items);
  }
  return rows;
}

/** Depths of all queues of a virtual host, up to 10 s old (the broker's statistics of quorum queues). */
export async function queueDepths(managementUrl: string, vhost: string): Promise<QueueDepth[]> {
  return (await queueRows(managementUrl, vhost)).map((row) => {
    const { ack = 0, deliver_no_ack = 0, get_no_ack = 0 } = row.message_stats ?? {};
    const headAt = row.head_message_timestamp;
    return {
      name: row.name,
      ready: row.messages_ready ?? 0,
      unacked: row.messages_unacknowledged ?? 0,
      bytes: row.message_bytes ?? 0,
      consumers: row.consumers ?? 0,
      publishRate: row.message_stats?.publish_details?.rate ?? 0,
      deliverRate: row.message_stats?.deliver_get_details?.rate ?? 0,
      done: ack + deliver_no_ack + get_no_ack,
      headAt: typeof headAt === 'number' ? headAt * 1_000 : null,
      type: row.type ?? 'classic',
      exclusive: row.exclusive === true,
      arguments: row.arguments ?? {},
    };
  });
}

/** Messages in each queue of a virtual host, without its statistics: up to 5 s old, half of what `queueDepths` may be. */
export async function queueTotals(
  managementUrl: string,
  vhost: string,
): Promise<ReadonlyMap<string, Pick<QueueDepth, 'ready' | 'unacked'>>> {
  const rows = await queueRows(managementUrl, vhost, '&disable_stats=true&enable_queue_totals=true');
  return new Map(
    rows.map(({ name, messages_ready: ready = 0, messages_unacknowledged: unacked = 0 }) => [
      name,
      { ready, unacked },
    ]),
  );
}

/** Consumers of each queue of a virtual host that has any; at once, unlike those of `queueDepths`. */
export async function queueConsumers(
  managementUrl: string,
  vhost: string,
): Promise<ReadonlyMap<string, number>> {
  const consumers = await manage<readonly { readonly queue: { readonly name: string } }[]>(
    managementUrl,
    `/api/consumers/${encodeURIComponent(vhost)}`,
  );
  const counts = new Map<string, number>();
  for (const { queue } of consumers) counts.set(queue.name, (counts.get(queue.name) ?? 0) + 1);
  return counts;
}
