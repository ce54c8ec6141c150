import { WeirError } from '@weir/flow';
import type { Cluster, KafkaMessage } from 'kafkajs';
import { atMost, within } from './client.ts';
import { openCluster } from './cluster.ts';
import { mapError } from './errors.ts';
import { toRecords } from './records.ts';
import type { KafkaOptions, LogReader, PartitionOffsets } from './types.ts';

const CLOSE_DEADLINE_MS = 3_000;
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
  let connecting: Promise<Cluster> | null = null;
  let closed = false;
  const deadlineMs = options.requestTimeoutMs ?? 30_000;

  const connect = async (): Promise<Cluster> => {
    const cluster = await openCluster(options);
    await cluster.addTargetTopic(topic);
    await cluster.refreshMetadataIfNecessary();
    return cluster;
  };

  const discard = async (): Promise<void> => {
    const old = connecting;
    connecting = null;
    if (old !== null)
      await atMost(
        CLOSE_DEADLINE_MS,
        old.then((cluster) => cluster.disconnect()),
      );
  };

  const using = async <T>(doing: string, work: (cluster: Cluster) => Promise<T>): Promise<T> => {
    if (closed) throw new WeirError('WEIR_STATE', 'fatal', `${doing}: the log reader is closed`);
    connecting ??= connect();
    try {
      return await within(
        deadlineMs,
        connecting.then(work),
        () => new WeirError('WEIR_TIMEOUT', 'transient', `${doing}: no answer in ${deadlineMs / 1_000} s`),
      );
    } catch (error) {
      await discard();
      throw mapError(doing, error);
    }
  };

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
      closed = true;
      await discard();
    },
  };
}
