import { z } from 'zod';
import { duration, list, secret, whole } from '../units.ts';

export const portsSection = z
  .strictObject({
    offset: whole(0, 40_000).default(0).describe('Added to every port that Weir and its servers listen on'),
    host: z.string().default('127.0.0.1').describe('Address that the HTTP and MQTT doors listen on'),
  })
  .prefault({});

export const kafkaSection = z
  .strictObject({
    brokers: list().default(['127.0.0.1:9092']).describe('Bootstrap brokers, host:port'),
    requestTimeout: duration().prefault('30s').describe('Deadline of one request'),
    sessionTimeout: duration().prefault('10s').describe('Silence after which a group member is replaced'),
  })
  .prefault({});

export const rabbitmqSection = z
  .strictObject({
    url: secret()
      .default('amqp://weir:weir@127.0.0.1:5672/weir')
      .describe('AMQP address with credentials and virtual host'),
    managementUrl: secret()
      .default('http://weir:weir@127.0.0.1:15672')
      .describe('Management API, for queue depths'),
    heartbeat: duration().prefault('10s').describe('AMQP heartbeat'),
  })
  .prefault({});

export const timescaleSection = z
  .strictObject({
    url: secret()
      .default('postgres://weir:weir@127.0.0.1:5432/weir')
      .describe('PostgreSQL address with credentials'),
    poolSize: whole(1, 100).default(6).describe('Connections of one app'),
    statementTimeout: duration().prefault('30s').describe('Deadline of one statement'),
  })
  .prefault({});

export const minioSection = z
  .strictObject({
    url: z.string().default('http://127.0.0.1:9000').describe('Address of the object store'),
    accessKey: secret().default('weir').describe('Access key'),
    secretKey: secret().default('weir-secret').describe('Secret key'),
  })
  .prefault({});

export const redisSection = z
  .strictObject({
    url: secret().default('redis://127.0.0.1:6379').describe('Redis address with credentials'),
  })
  .prefault({});

export const logSection = z
  .strictObject({
    level: z
      .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
      .default('info')
      .describe('Least severe level that is written'),
    format: z
      .enum(['auto', 'json', 'pretty'])
      .default('auto')
      .describe('auto: pretty on a terminal, JSON elsewhere'),
  })
  .prefault({});
