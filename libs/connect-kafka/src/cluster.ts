import { WeirError } from '@weir/flow';
import type { Cluster } from 'kafkajs';
import { createKafka, SHORT_RETRY, within } from './client.ts';
import type { KafkaOptions } from './types.ts';

const CONNECT_DEADLINE_MS = 5_000;

/** The connections below kafkajs's public clients, which it hands to the assigner of a consumer only. Not in any group. */
export async function openCluster(options: KafkaOptions): Promise<Cluster> {
  let captured: Cluster | null = null;
  createKafka(options, SHORT_RETRY).consumer({
    groupId: 'weir.none', // never joined
    allowAutoTopicCreation: false,
    readUncommitted: true,
    partitionAssigners: [
      ({ cluster }) => {
        captured = cluster;
        return {
          name: 'none',
          version: 1,
          assign: async () => [],
          protocol: () => ({ name: 'none', metadata: Buffer.alloc(0) }),
        };
      },
    ],
  });
  const cluster = captured as Cluster | null;
  if (cluster === null) throw new WeirError('WEIR_STATE', 'fatal', 'kafkajs handed out no connection');
  await within(
    CONNECT_DEADLINE_MS,
    cluster.connect(),
    () =>
      new WeirError(
        'WEIR_CONNECT_FAILED',
        'transient',
        `connecting to Kafka at ${options.brokers.join(', ')}: no answer in ${CONNECT_DEADLINE_MS / 1_000} s`,
      ),
  );
  return cluster;
}
