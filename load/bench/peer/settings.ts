import { READINGS_PARTITIONS } from '@weir/topology';

/** Where the programs of the peer chain find each other and the servers. */
export interface PeerAddresses {
  /** Port of mosquitto on the loopback address. */
  readonly mqttPort: number;
  readonly brokers: readonly string[];
  /** postgres:// address with credentials. */
  readonly databaseUrl: string;
}

export const PEER_TOPIC = {
  name: 'peer.readings',
  /** As many as Weir's topic has. */
  partitions: READINGS_PARTITIONS,
  config: {},
};
export const PEER_TABLE = 'readings';

/** What Telegraf holds of a broker unconfirmed; a row is confirmed backwards only when it is written. */
const UNDELIVERED = 40_000;
const BATCH = 10_000;

/** Go collects its garbage four times as late as by default: less CPU for more memory. */
export const TELEGRAF_ENVIRONMENT = { GOGC: '400' };

/** One column for each tag and field, in chunks by time, with the index that TimescaleDB makes by itself. */
export const PEER_SCHEMA: readonly string[] = [
  'CREATE EXTENSION IF NOT EXISTS timescaledb',
  `CREATE TABLE ${PEER_TABLE} (
     time timestamptz NOT NULL, site text, device text, metric text, value double precision, seq double precision)`,
  `SELECT create_hypertable('${PEER_TABLE}', 'time')`,
];

/**
 * Debian's settings (persistence with the default autosave of 30 minutes: a reading is acknowledged from memory), except
 * that its limits of 1,000 waiting messages, beyond which it drops, and of 20 in flight are lifted.
 */
export function mosquittoConf({ mqttPort }: PeerAddresses, folder: string): string {
  return [
    // Its folder is ours.
    'user root',
    `listener ${mqttPort} 127.0.0.1`,
    'allow_anonymous true',
    'persistence true',
    `persistence_location ${folder}/`,
    'max_queued_messages 0',
    'max_inflight_messages 0',
    'log_dest stderr',
    'log_type error',
    'log_type warning',
    '',
  ].join('\n');
}

/** A value of a Telegraf file: TOML writes strings, numbers, booleans and lists of them as JSON does. */
type Value = string | number | boolean | readonly string[];
type Section = readonly [header: string, settings: Readonly<Record<string, Value>>];

const toml = (sections: readonly Section[]): string =>
  sections
    .map(([header, settings]) =>
      [
        header,
        ...Object.entries(settings).map(([name, value]) => `${name} = ${JSON.stringify(value)}`),
        '',
      ].join('\n'),
    )
    .join('\n');

const AGENT: Section = [
  '[agent]',
  {
    metric_batch_size: BATCH,
    // More than can be unconfirmed: the buffer never overflows, so nothing is dropped.
    metric_buffer_limit: 2 * UNDELIVERED,
    // Full batches go at once; this is what the last ones wait.
    flush_interval: '200ms',
    flush_jitter: '0s',
    omit_hostname: true,
    skip_processors_after_aggregators: true,
    quiet: true,
  },
];

/** mosquitto → Kafka. The session is kept and messages are acknowledged only when Kafka has them. */
export function mqttToKafka({ mqttPort, brokers }: PeerAddresses): string {
  return toml([
    AGENT,
    [
      '[[inputs.mqtt_consumer]]',
      {
        servers: [`tcp://127.0.0.1:${mqttPort}`],
        topics: ['telemetry/v1/#'],
        qos: 1,
        client_id: 'telegraf',
        persistent_session: true,
        max_undelivered_messages: UNDELIVERED,
        topic_tag: '',
        name_override: PEER_TABLE,
        data_format: 'json',
        json_time_key: 'ts',
        json_time_format: 'unix_ms',
      },
    ],
    [
      '[[inputs.mqtt_consumer.topic_parsing]]',
      { topic: 'telemetry/v1/+/+/+', tags: '_/_/site/device/metric' },
    ],
    [
      '[[outputs.kafka]]',
      {
        brokers,
        topic: PEER_TOPIC.name,
        version: '3.6.0',
        routing_tag: 'device',
        required_acks: -1,
        // The times of the readings would make Kafka's retention forget them early.
        producer_timestamp: 'now',
        data_format: 'influx',
      },
    ],
  ]);
}

/** Kafka → TimescaleDB by COPY, one transaction a batch; the offset follows what is written. */
export function kafkaToTimescale({ brokers, databaseUrl }: PeerAddresses): string {
  return toml([
    AGENT,
    [
      '[[inputs.kafka_consumer]]',
      {
        brokers,
        topics: [PEER_TOPIC.name],
        // Its own default speaks a protocol that Kafka 4 does not.
        kafka_version: '3.6.0',
        consumer_group: 'telegraf',
        offset: 'oldest',
        max_undelivered_messages: UNDELIVERED,
        // A batch takes longer than the default of 100 ms on a busy machine, and a partition would be given up.
        max_processing_time: '30s',
        data_format: 'influx',
      },
    ],
    [
      '[[outputs.postgresql]]',
      { connection: databaseUrl, timestamp_column_type: 'timestamp with time zone', create_templates: [] },
    ],
  ]);
}
