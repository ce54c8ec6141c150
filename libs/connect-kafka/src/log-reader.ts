import { WeirError } from '@weir/flow';
import type { Cluster, KafkaMessage } from 'kafkajs';
import { openCluster } from './cluster.ts';
import { holdConnection } from './held-connection.ts';
import { toRecords } from './records.ts';
import type { KafkaOptions, LogReader, PartitionOffsets } from './types.ts';

const MAX_WAIT_MS = 50;

/** kafkajs has these calls, its types do not. */
interface FetchingBroker {
  fetch(request: {
    readonly maxWaitTime: number;
    readonly minBytes: number;
    readonly maxBytes: number;
    readonly isolationLevel: number;
    readonly topics: readonly {
      readonly topic: string;
      readonly partitions: readonly {
        readonly partition: number;
        readonly fetchOffset: string;
        readonly maxBytes: number;
      }[];
    }[];
  }): Promise<{
    readonly responses: readonly {
      readonly partitions: readonly {
        readonly errorCode?: number;
        readonly messages: readonly (KafkaMessage & { readonly isControlRecord?: boolean })[];
      }[];
    }[];
  }>;
}
interface OffsetsByTime {
  fetchTopicsOffset(
    topics: readonly {
      readonly topic: string;
      readonly fromTimestamp?: number;
      readonly fromBeginning?: boolean;
      readonly partitions: readonly { readonly partition: number }[];
    }[],
  ): Promise<readonly { readonly partitions: readonly { partition: number; offset: string }[] }[]>;
}

/**
 * Reads a topic at any place, without a group: nothing is joined, committed or left behind. kafkajs offers this only
 * below its public consumer, whose assigner is handed the connection. Connects with the first call.
 */
export function openLogReader(options: KafkaOptions, topic: string): LogReader {
  const connect = async (): Promise<Cluster> => {
    const cluster = await openCluster(options);
    await cluster.addTargetTopic(topic);
    await cluster.refreshMetadataIfNecessary();
    return cluster;
  };

  const held = holdConnection({
    what: 'the log reader',
    open: connect,
    deadlineMs: options.requestTimeoutMs ?? 30_000,
  });
  const { using } = held;

  const offsets = async (
    cluster: Cluster,
    at: { readonly fromTimestamp: number } | { readonly fromBeginning: boolean },
    only?: number,
  ): Promise<Map<number, bigint>> => {
    const partitions = cluster
      .findTopicPartitionMetadata(topic)
      .map(({ partitionId }) => ({ partition: partitionId }))
      .filter(({ partition }) => only === undefined || partition === only);
    const [found] = await (cluster as unknown as OffsetsByTime).fetchTopicsOffset([
      { topic, partitions, ...at },
    ]);
    return new Map((found?.partitions ?? []).map(({ partition, offset }) => [partition, BigInt(offset)]));
  };

  return {
    ends: () =>
      using(`reading the offsets of topic ${topic}`, async (cluster): Promise<PartitionOffsets[]> => {
        const [starts, ends] = await Promise.all([
          offsets(cluster, { fromBeginning: true }),
          offsets(cluster, { fromBeginning: false }),
        ]);
        return [...ends]
          .map(([partition, end]) => ({ partition, start: starts.get(partition) ?? 0n, end }))
          .sort((a, b) => a.partition - b.partition);
      }),

    offsetAt: (partition, ms) =>
      using(`looking up a time in topic ${topic}`, async (cluster) => {
        const found = (await offsets(cluster, { fromTimestamp: ms }, partition)).get(partition) ?? -1n;
        if (found >= 0n) return found;
        return (await offsets(cluster, { fromBeginning: false }, partition)).get(partition) ?? 0n;
      }),

    read: (partition, from, maxBytes = 1 << 20) =>
      using(`reading partition ${partition} of topic ${topic} at ${from}`, async (cluster) => {
        const leaders = cluster.findLeaderForPartitions(topic, [partition]);
        const nodeId = Object.keys(leaders)[0];
        if (nodeId === undefined)
          throw new WeirError('WEIR_REJECTED', 'data', `topic ${topic} has no partition ${partition}`);
        const broker: unknown = await cluster.findBroker({ nodeId });
        const answer = await (broker as FetchingBroker)
          .fetch({
            maxWaitTime: MAX_WAIT_MS,
            minBytes: 1,
            maxBytes,
            isolationLevel: 0,
            topics: [{ topic, partitions: [{ partition, fetchOffset: String(from), maxBytes }] }],
          })
          .catch((error: unknown) => {
            if ((error as { type?: unknown }).type !== 'OFFSET_OUT_OF_RANGE') throw error;
            const message = `topic ${topic}: partition ${partition} does not hold offset ${from}`;
            throw new WeirError('WEIR_STATE', 'data', message, error);
          });
        const messages = answer.responses[0]?.partitions[0]?.messages ?? [];
        return toRecords(
          messages.filter((message) => message.isControlRecord !== true),
          from,
        );
      }),

    async close() {
      await held.close();
    },
  };
}
