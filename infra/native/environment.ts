import { PORTS, type PortName } from '@weir/topology';
import type { Credentials } from './credentials.ts';

/** Where the servers listen: the ports of `@weir/topology` plus the offset of this installation. */
export function portOf(name: PortName, offset: number): number {
  return PORTS[name] + offset;
}

/** The environment with which every app finds the servers; native stack and containers both use this one table. */
export function serverEnvironment(
  credentials: Credentials,
  portOffset: number,
  /** Host and port of each server as the apps see it; the native stack is all on the loopback address. */
  at: (name: PortName) => string = (name) => `127.0.0.1:${portOf(name, portOffset)}`,
): Record<string, string> {
  const { postgres, rabbitmq, minio, redis } = credentials;
  return {
    WEIR_PORTS__OFFSET: String(portOffset),
    WEIR_KAFKA__BROKERS: at('kafka'),
    WEIR_RABBITMQ__URL: `amqp://${rabbitmq.user}:${rabbitmq.password}@${at('rabbitmq')}/${rabbitmq.vhost}`,
    WEIR_RABBITMQ__MANAGEMENT_URL: `http://${rabbitmq.user}:${rabbitmq.password}@${at('rabbitmqManagement')}`,
    WEIR_TIMESCALE__URL: `postgres://${postgres.user}:${postgres.password}@${at('postgres')}/${postgres.database}`,
    WEIR_MINIO__URL: `http://${at('minio')}`,
    WEIR_MINIO__ACCESS_KEY: minio.accessKey,
    WEIR_MINIO__SECRET_KEY: minio.secretKey,
    WEIR_REDIS__URL: `redis://:${redis.password}@${at('redis')}`,
  };
}
