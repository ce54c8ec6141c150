import { kafkaServer } from './kafka.ts';
import { minioServer } from './minio.ts';
import { rabbitmqServer } from './rabbitmq.ts';
import { redisServer } from './redis.ts';
import { timescaleServer } from './timescale.ts';
import type { ServerDefinition, ServerName } from './types.ts';

export * from './types.ts';

export const SERVERS: Readonly<Record<ServerName, ServerDefinition>> = {
  kafka: kafkaServer,
  rabbitmq: rabbitmqServer,
  timescale: timescaleServer,
  minio: minioServer,
  redis: redisServer,
};
