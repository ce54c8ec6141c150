import type { OutgoingRecord, Producer } from '@weir/connect-kafka';
import { deadLetterHeaders, letterIdAt, partitionOf } from '@weir/reading';
import type { KafkaTopic } from '@weir/topology';
import type { BuriedLine } from '@weir/windows';

export interface BuryConfig {
  readonly readings: string;
  readonly deadLetters: KafkaTopic;
  readonly group: string;
}

/** The dead letter of a line: its own bytes, and the place in the log that it came from. */
export function deadLetterOf(
  config: BuryConfig,
  partition: number,
  { offset, index, line, reason, message, readings, device, at }: BuriedLine,
  now: number,
): OutgoingRecord {
  const { readings: topic, deadLetters, group } = config;
  const headers = deadLetterHeaders({
    id: letterIdAt(topic, partition, offset, index, reason),
    reason,
    stage: 'fold-records',
    errorClass: reason === 'late' ? 'Late' : 'DecodeError',
    errorMessage: message,
    firstFailedAt: now,
    lastFailedAt: now,
    originSystem: 'kafka',
    origin: topic,
    originalTimestamp: at ?? now,
    retryable: reason === 'late',
    replayCount: 0,
    kafka: { topic, partition, offset: String(offset), group },
    ...(readings === null ? {} : { readings }),
  });
  return {
    partition: partitionOf(device ?? '', deadLetters.partitions),
    key: device === null ? null : Buffer.from(device),
    value: Buffer.from(line),
    headers,
  };
}

/** Largest number of dead letters in one request: a topic full of bad lines must not need memory without bound. */
const BATCH = 1_000;

/** Makes a step that writes dead letters to Kafka with acks=all. */
export function bury(config: BuryConfig, producer: Producer) {
  return async function buryLines(lines: readonly { partition: number; line: BuriedLine }[]): Promise<void> {
    const now = Date.now();
    for (let at = 0; at < lines.length; at += BATCH) {
      const records = lines
        .slice(at, at + BATCH)
        .map(({ partition, line }) => deadLetterOf(config, partition, line, now));
      await producer.send(config.deadLetters.name, records);
    }
  };
}
