import { originReader } from '@weir/dead-letters';
import type { AppContext } from '@weir/lifecycle';
import { QUEUES } from '@weir/topology';
import type { Parts } from '../parts.ts';
import { indexerEvents } from './events.ts';
import { indexLetters } from './index-letters.ts';
import { type InboxOptions, kafkaInbox } from './kafka-inbox.ts';
import { liftDeliveryLimit } from './lift-delivery-limit.ts';
import { type Incoming, Press } from './press.ts';
import { type QueueInbox, queueInbox } from './queue-inbox.ts';

/** What is under way at a stop gets this long; then the next start takes it again. */
const DRAIN_MS = 8_000;
const SETTLE_MS = 2_000;

const DLQ_QUEUES = Object.values(QUEUES)
  .map(({ name }) => name)
  .filter((name) => name.endsWith('.dlq'));

/** Dead-letter topic and queues → press → packs and rows → offset or acknowledgement. */
export async function startIndexer(context: AppContext, parts: Parts): Promise<void> {
  const { config, log, metrics, stopping } = context;
  const { packLetters, packSize, packAge } = config.deadLetters;
  const giveUp = new AbortController();
  const events = indexerEvents(log, metrics);
  const inboxes = new Map<string, QueueInbox>();

  /** Ids of their own, else names that the inbox of each queue gives. */
  const name = async (batch: readonly Incoming[]): Promise<readonly string[]> => {
    const ids = batch.map(({ letter }) => letter.id ?? '');
    for (const [queue, inbox] of inboxes) {
      const mine = batch.flatMap(({ mark }, index) => (mark?.queue === queue ? [{ mark, index }] : []));
      const names = await inbox.identities.name(
        parts.database,
        mine.map(({ mark }) => mark),
      );
      for (const [at, { index }] of mine.entries()) ids[index] = names[at] as string;
    }
    return ids;
  };
  const press = new Press({
    maxLetters: packLetters,
    maxBytes: packSize,
    maxAgeMs: packAge,
    process: indexLetters({
      ...{ ...parts, events, name, giveUp: giveUp.signal },
      isQueue: (place) => inboxes.has(place),
    }),
  });
  const readOrigin = originReader(config.edge.topics);
  const options: InboxOptions = { context, press, readOrigin, events, giveUp: giveUp.signal };
  const kafka = kafkaInbox(options, parts.database);
  for (const queue of DLQ_QUEUES) inboxes.set(queue, queueInbox(options, parts.database, queue));
  const queues = [...inboxes.values()];

  metrics.gauge('weir_buffer_used_items', 'Items that wait', ['hop'], (gauge) =>
    gauge.set({ hop: 'dead-letters' }, press.waitingLetters),
  );
  metrics.gauge('weir_buffer_used_bytes', 'Bytes that wait', ['hop'], (gauge) =>
    gauge.set({ hop: 'dead-letters' }, press.waitingBytes),
  );
  context.readyWhen(
    'kafka',
    () => kafka.healthy || (kafka.lastError?.message ?? 'no partition of the dead letters is assigned yet'),
  );
  context.readyWhen('index', () => events.waitsFor ?? true);
  context.readyWhen('rabbitmq', () => {
    const missing = queues.find(({ consumer }) => !consumer.consuming);
    return missing === undefined || (missing.consumer.lastError?.message ?? 'not subscribed');
  });
  context.onStop('accept', 'inboxes', async () => {
    const timer = setTimeout(() => {
      events.givenUp(press.waitingLetters);
      giveUp.abort();
    }, DRAIN_MS);
    await Promise.all([kafka.stop(), ...queues.map(({ consumer }) => consumer.stop())]);
    clearTimeout(timer);
    // The connections were closed in good order: every acknowledgement has arrived.
    if (!giveUp.signal.aborted) await Promise.all(queues.map((inbox) => inbox.settle(true)));
  });

  await kafka.start();
  await liftDeliveryLimit(context, events);
  for (const { consumer } of queues) consumer.start();
  const settling = setInterval(() => {
    // The next round tries again; what stays is forgotten by the sweep.
    for (const inbox of queues) inbox.settle().catch(() => undefined);
  }, SETTLE_MS);
  stopping.addEventListener('abort', () => clearInterval(settling), { once: true });
}
