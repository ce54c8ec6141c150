/**
 * Every port that Weir and its servers listen on, before the offset of an installation (`ports.offset`) is added.
 * Native stack, container stack and apps all read this one table. No two of them lie 1000 apart, so that an offset of
 * 1000 gives a second installation beside the first.
 */
export const PORTS = {
  mqtt: 1883,
  mqttTls: 8883,
  mqttWs: 8083,
  edgeHttp: 8081,
  gateway: 8080,
  aggregatorHttp: 8095,
  archiverHttp: 8096,
  alerterHttp: 8097,
  fleetHttp: 8098,
  deadLettersHttp: 8099,
  lagMonitorHttp: 8100,
  kafka: 9092,
  kafkaController: 9093,
  rabbitmq: 5672,
  rabbitmqManagement: 15672,
  /** Not the usual 25672: with an offset of 20000 that would be another stack's `rabbitmq`. */
  rabbitmqDistribution: 4370,
  epmd: 4369,
  postgres: 5432,
  minio: 9000,
  minioConsole: 9001,
  redis: 6379,
  prometheus: 9090,
  grafana: 3000,
} as const;
export type PortName = keyof typeof PORTS;

/** Edges of one installation that may run on one machine. */
export const MAX_EDGES = 8;
/**
 * What the ports of an edge add to the offset of the installation: the first has the ports of the table, each further
 * one lies 120 above the one before. @param index from 0
 */
export const edgePortOffset = (index: number): number => index * 120;

/** The same of an aggregator that the lag monitor starts to help. @param index from 0, below 3 */
export const helperPortOffset = (index: number): number => 30 + index * 30;
