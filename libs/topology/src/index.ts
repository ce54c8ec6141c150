export * from './kafka.ts';
export * from './minio.ts';
export * from './ports.ts';
export * from './processes.ts';
export * from './rabbitmq.ts';
export * from './redis.ts';
export * from './timescale.ts';
