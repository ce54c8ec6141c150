import { type KafkaOptions, openAdmin } from '@weir/connect-kafka';
import { isTransient, retrying } from '@weir/flow';

/**
 * Compares how long the broker really keeps a topic, whoever has set it, with what a restart and the archiver need.
 * Resolves to a sentence that names both and the way out, or to null when it is enough. Waits for a broker that is
 * away, and for a topic that is not made yet.
 */
export async function checkLog(
  kafka: KafkaOptions,
  topic: string,
  neededMs: number,
  signal: AbortSignal,
): Promise<string | null> {
  const admin = openAdmin(kafka);
  try {
    const config = await retrying(() => admin.topicConfig(topic, ['retention.ms', 'retention.bytes']), {
      signal,
      shouldRetry: (error) => isTransient(error) || (error as { code?: string }).code === 'WEIR_STATE',
    });
    const ms = Number(config.get('retention.ms') ?? -1);
    const bytes = Number(config.get('retention.bytes') ?? -1);
    if (ms >= 0 && ms < neededMs) {
      return (
        `Kafka keeps topic ${topic} for ${ms / 1_000} s, and ${neededMs / 1_000} s are needed (aggregator.dedupHorizon, ` +
        'aggregator.allowedLateness, archiver.objectAge and an hour). Set retention.log and run `weir topology apply`'
      );
    }
    if (bytes >= 0) {
      return (
        `Kafka keeps at most ${bytes} bytes of each partition of ${topic} (retention.bytes): readings may go before ` +
        'they are in the windows and the archive. Set retention.bytes of the topic to -1'
      );
    }
    return null;
  } finally {
    await admin.close();
  }
}
