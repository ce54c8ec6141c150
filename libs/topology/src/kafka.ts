/** Kafka topics and groups. `namespace` isolates one installation (or one test) from another on shared servers. */
export interface KafkaTopic {
  readonly name: string;
  readonly partitions: number;
  readonly config: Readonly<Record<string, string>>;
}

export interface KafkaTopology {
  readonly readings: KafkaTopic;
  readonly deadLetters: KafkaTopic;
  readonly groups: { readonly aggregator: string; readonly archiver: string; readonly deadLetters: string };
}

export const READINGS_PARTITIONS = 12;

const DAY_MS = 86_400_000;

/** @param retention milliseconds that Kafka keeps readings and dead letters; only who makes the topics needs it */
export function kafkaTopology(
  namespace = '',
  retention: { readonly log: number; readonly deadLetters: number } = {
    log: 7 * DAY_MS,
    deadLetters: 30 * DAY_MS,
  },
): KafkaTopology {
  const n = namespace === '' ? '' : `${namespace}.`;
  return {
    readings: {
      name: `${n}weir.readings.v1`,
      partitions: READINGS_PARTITIONS,
      config: { 'retention.ms': String(retention.log), 'max.message.bytes': String(4 << 20) },
    },
    deadLetters: {
      name: `${n}weir.dead-letters.v1`,
      partitions: 3,
      config: { 'retention.ms': String(retention.deadLetters), 'max.message.bytes': String(4 << 20) },
    },
    groups: {
      aggregator: `${n}weir.aggregator`,
      archiver: `${n}weir.archiver`,
      deadLetters: `${n}weir.dead-letters`,
    },
  };
}

/** Headers of a record on the readings topic. */
export const RECORD_HEADERS = {
  /** Codec name and version; see libs/reading. */
  codec: 'weir-codec',
  /** Number of envelopes (lines) in the record, decimal. */
  count: 'weir-count',
  /** What the edge has sent of this partition so far; see `formatSent` of libs/ledger. */
  sent: 'weir-sent',
} as const;
