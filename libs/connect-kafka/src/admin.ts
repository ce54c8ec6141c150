import { WeirError } from '@weir/flow';
import kafkajs, { type Admin as KafkaJsAdmin } from 'kafkajs';
import { atMost, createKafka, SHORT_RETRY, within } from './client.ts';
import { mapError, mapped } from './errors.ts';
import type { Admin, KafkaOptions, PartitionOffsets, TopicDefinition } from './types.ts';

const CONNECT_DEADLINE_MS = 5_000;
const CLOSE_DEADLINE_MS = 3_000;

const typeOf = (error: unknown): string => {
  for (let next = error; next instanceof Error; next = next.cause) {
    if ('type' in next && typeof next.type === 'string') return next.type;
  }
  return '';
};

/** Topics, offsets and groups. Connects with the first call; after a failure the next call connects anew. */
export function openAdmin(options: KafkaOptions): Admin {
  let connecting: Promise<KafkaJsAdmin> | null = null;
  let closed = false;
  const where = options.brokers.join(', ');

  const open = async (): Promise<KafkaJsAdmin> => {
    const admin = createKafka(options, SHORT_RETRY).admin();
    try {
      await within(
        CONNECT_DEADLINE_MS,
        mapped(`connecting to Kafka at ${where}`, () => admin.connect()),
        () =>
          new WeirError(
            'WEIR_CONNECT_FAILED',
            'transient',
            `connecting to Kafka at ${where}: no answer in 5 s`,
          ),
      );
      return admin;
    } catch (error) {
      admin.disconnect().catch(() => undefined);
      throw error;
    }
  };

  const discard = async (): Promise<void> => {
    const old = connecting;
    connecting = null;
    if (old !== null)
      await atMost(
        CLOSE_DEADLINE_MS,
        old.then((admin) => admin.disconnect()),
      );
  };

  const using = async <T>(doing: string, work: (admin: KafkaJsAdmin) => Promise<T>): Promise<T> => {
    if (closed) throw new WeirError('WEIR_STATE', 'fatal', `${doing}: the Kafka admin client is closed`);
    connecting ??= open();
    try {
      return await work(await connecting);
    } catch (error) {
      await discard();
      throw mapError(doing, error);
    }
  };

  const raisePartitions = async (admin: KafkaJsAdmin, topics: readonly TopicDefinition[]): Promise<void> => {
    if (topics.length === 0) return;
    const { topics: found } = await admin.fetchTopicMetadata({ topics: topics.map(({ name }) => name) });
    const counts = new Map(found.map(({ name, partitions }) => [name, partitions.length]));
    const small = topics.filter(({ name, partitions }) => (counts.get(name) ?? partitions) < partitions);
    if (small.length === 0) return;
    await admin.createPartitions({
      topicPartitions: small.map(({ name, partitions }) => ({ topic: name, count: partitions })),
    });
  };

  const alignConfig = async (admin: KafkaJsAdmin, topics: readonly TopicDefinition[]): Promise<void> => {
    const resources = topics
      .filter(({ config }) => Object.keys(config).length > 0)
      .map(({ name, config }) => ({
        type: kafkajs.ConfigResourceTypes.TOPIC,
        name,
        configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
      }));
    if (resources.length > 0) await admin.alterConfigs({ validateOnly: false, resources });
  };

  return {
    applyTopics: (topics) =>
      using(`creating topics ${topics.map(({ name }) => name).join(', ')}`, async (admin) => {
        const present = new Set(await admin.listTopics());
        const missing = topics.filter(({ name }) => !present.has(name));
        for (const { name, partitions, config } of missing) {
          await admin
            .createTopics({
              waitForLeaders: true,
              topics: [
                {
                  topic: name,
                  numPartitions: partitions,
                  replicationFactor: -1, // the broker's own default
                  configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
                },
              ],
            })
            .catch((error: unknown) => {
              if (typeOf(error) !== 'TOPIC_ALREADY_EXISTS') throw error; // another process was faster
            });
        }
        const kept = topics.filter(({ name }) => present.has(name));
        await raisePartitions(admin, kept);
        await alignConfig(admin, kept);
        return { created: missing.map(({ name }) => name) };
      }),

    deleteTopics: (names) =>
      using(`deleting topics ${names.join(', ')}`, async (admin) => {
        const present = new Set(await admin.listTopics());
        const topics = names.filter((name) => present.has(name));
        if (topics.length > 0) await admin.deleteTopics({ topics, timeout: 30_000 });
      }),

    topicOffsets: (topic) => using(`reading the offsets of topic ${topic}`, (admin) => ends(admin, topic)),

    groupLag: (groupId, topic) =>
      using(`reading the lag of group ${groupId}`, async (admin) => {
        // Committed before ends: the other way round a group that moves meanwhile would look ahead of its log.
        const [found] = await admin.fetchOffsets({ groupId, topics: [topic] });
        const committed = new Map(
          (found?.partitions ?? []).map(({ partition, offset }) => [partition, BigInt(offset)]),
        );
        return (await ends(admin, topic)).map(({ partition, start, end }) => {
          const place = committed.get(partition) ?? -1n;
          if (place < 0n) return { partition, start, end, committed: null, lag: null };
          const from = place > start ? place : start;
          return { partition, start, end, committed: place, lag: end > from ? end - from : 0n };
        });
      }),

    listTopics: () => using('listing topics', (admin) => admin.listTopics()),

    deleteGroups: (groupIds) =>
      using(`deleting groups ${groupIds.join(', ')}`, async (admin) => {
        for (const groupId of groupIds) {
          await admin.deleteGroups([groupId]).catch((error: unknown) => {
            const group = (error as { groups?: { error?: { type?: string } }[] }).groups?.[0];
            if (group?.error?.type !== 'GROUP_ID_NOT_FOUND') throw error;
          });
        }
      }),

    async close() {
      closed = true;
      await discard();
    },
  };
}

async function ends(admin: KafkaJsAdmin, topic: string): Promise<PartitionOffsets[]> {
  const offsets = await admin.fetchTopicOffsets(topic);
  return offsets
    .map(({ partition, low, high }) => ({ partition, start: BigInt(low), end: BigInt(high) }))
    .sort((a, b) => a.partition - b.partition);
}
