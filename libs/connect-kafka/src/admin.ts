import { isTransient, retrying, WeirError } from '@weir/flow';
import kafkajs, { type Admin as KafkaJsAdmin } from 'kafkajs';
import { createKafka, SHORT_RETRY, within } from './client.ts';
import { mapped } from './errors.ts';
import { holdConnection } from './held-connection.ts';
import type { Admin, KafkaOptions, PartitionOffsets, TopicDefinition } from './types.ts';

const CONNECT_DEADLINE_MS = 5_000;
const APPLY_DEADLINE_MS = 30_000;
/** Beyond the deadline of one request: some calls are several requests. */
const CALL_SLACK_MS = 10_000;

/** Topics, offsets and groups. Connects with the first call; after a failure the next call connects anew. */
export function openAdmin(options: KafkaOptions): Admin {
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

  const held = holdConnection({
    what: 'the Kafka admin client',
    open,
    deadlineMs: (options.requestTimeoutMs ?? 30_000) + CALL_SLACK_MS,
  });
  const { using } = held;

  /** True when this call made it. */
  const create = async (
    admin: KafkaJsAdmin,
    { name, partitions, config }: TopicDefinition,
  ): Promise<boolean> => {
    try {
      return await admin.createTopics({
        waitForLeaders: false, // `mustBeUsable` asks for more than kafkajs does
        topics: [
          {
            topic: name,
            numPartitions: partitions,
            replicationFactor: -1, // the broker's own default
            configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
          },
        ],
      });
    } catch (error) {
      // One error for each topic, and there was one.
      throw (error as { errors?: unknown[] }).errors?.[0] ?? error;
    }
  };

  const raisePartitions = async (admin: KafkaJsAdmin, topics: readonly TopicDefinition[]): Promise<void> => {
    if (topics.length === 0) return;
    const found = await metadataOf(
      admin,
      topics.map(({ name }) => name),
    );
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
    async applyTopics(topics) {
      const doing = `creating topics ${topics.map(({ name }) => name).join(', ')}`;
      const created = new Set<string>();
      const since = performance.now();
      await retrying(
        () =>
          using(doing, async (admin) => {
            const present = new Set(await listAll(admin));
            for (const topic of topics) {
              if (!present.has(topic.name) && (await create(admin, topic))) created.add(topic.name);
            }
            const kept = topics.filter(({ name }) => present.has(name));
            await raisePartitions(admin, kept);
            await alignConfig(admin, kept);
            for (const { name, partitions } of topics) await mustBeUsable(admin, name, partitions);
          }),
        {
          maxMs: 1_000,
          shouldRetry: (error) =>
            !held.isClosed && isTransient(error) && performance.now() - since < APPLY_DEADLINE_MS,
        },
      );
      return { created: [...created] };
    },

    deleteTopics: (names) =>
      using(`deleting topics ${names.join(', ')}`, async (admin) => {
        const present = new Set(await listAll(admin));
        const topics = names.filter((name) => present.has(name));
        if (topics.length > 0) await admin.deleteTopics({ topics, timeout: 30_000 });
      }),

    topicConfig: (topic, names) =>
      using(`reading the settings of topic ${topic}`, async (admin) => {
        const { resources } = await admin.describeConfigs({
          includeSynonyms: false,
          resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configNames: [...names] }],
        });
        const entries = resources[0]?.configEntries ?? [];
        return new Map(entries.map(({ configName, configValue }) => [configName, configValue]));
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

    listGroups: () =>
      using('listing consumer groups', async (admin) => {
        const { groups } = await admin.listGroups();
        return [...new Set(groups.map(({ groupId }) => groupId))];
      }),

    describeGroups: (groupIds) =>
      using('describing consumer groups', async (admin) => {
        if (groupIds.length === 0) return [];
        const { groups } = await admin.describeGroups([...groupIds]);
        return groups.map(({ groupId, state, protocolType, members }) => ({
          groupId,
          state,
          members: members.map(({ clientId, memberAssignment }) => ({
            clientId,
            assigned: protocolType === 'consumer' ? assignedTo(memberAssignment) : null,
          })),
        }));
      }),

    groupOffsets: (groupId) =>
      using(`reading the offsets of group ${groupId}`, async (admin) =>
        (await admin.fetchOffsets({ groupId })).flatMap(({ topic, partitions }) =>
          partitions.flatMap(({ partition, offset }) => {
            const committed = BigInt(offset);
            return committed < 0n ? [] : { topic, partition, committed };
          }),
        ),
      ),

    groupSize: (groupId) =>
      using(`reading the members of group ${groupId}`, async (admin) => {
        const { groups } = await admin.describeGroups([groupId]);
        return groups[0]?.members.length ?? 0;
      }),

    listTopics: () => using('listing topics', listAll),

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
      await held.close();
    },
  };
}

/** kafkajs drops what the brokers answered to a metadata request that all of them refused, and stumbles over nothing. */
async function answered<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new WeirError('WEIR_CONNECTION_LOST', 'transient', 'no broker answered for the topics', error);
  }
}

const listAll = (admin: KafkaJsAdmin): Promise<string[]> => answered(admin.listTopics());

async function metadataOf(admin: KafkaJsAdmin, topics: string[]) {
  return (await answered(admin.fetchTopicMetadata({ topics }))).topics;
}

/** Throws a transient error unless every partition has a leader that answers; `createTopics` returns before that. */
async function mustBeUsable(admin: KafkaJsAdmin, topic: string, partitions: number): Promise<void> {
  const [found] = await metadataOf(admin, [topic]);
  const led = found?.partitions.filter(({ leader }) => leader >= 0).length ?? 0;
  const answering = led < partitions ? 0 : (await ends(admin, topic)).length;
  if (answering >= partitions) return;
  throw new WeirError(
    'WEIR_CONNECT_FAILED',
    'transient',
    `topic ${topic}: ${answering} of ${partitions} partitions can be used yet`,
  );
}

/** Empty while the group has not settled. */
function assignedTo(bytes: Buffer): ReadonlyMap<string, readonly number[]> {
  if (bytes.length === 0) return new Map();
  const decoded = kafkajs.AssignerProtocol.MemberAssignment.decode(bytes);
  return new Map(Object.entries(decoded?.assignment ?? {}));
}

async function ends(admin: KafkaJsAdmin, topic: string): Promise<PartitionOffsets[]> {
  const offsets = await admin.fetchTopicOffsets(topic);
  return offsets
    .map(({ partition, low, high }) => ({ partition, start: BigInt(low), end: BigInt(high) }))
    .sort((a, b) => a.partition - b.partition);
}
