import { PORTS, type PortName } from '@weir/topology';
import type { Credentials } from '../native/credentials.ts';
import { portOf } from '../native/environment.ts';

/** Name of the variable that holds a published port in `.env`: WEIR_PORT_EDGE_HTTP for `edgeHttp`. */
export function portVariable(name: PortName): string {
  return `WEIR_PORT_${name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** Variables of docker-compose.yml that hold secrets, and where each comes from. */
const SECRETS: Readonly<Record<string, (credentials: Credentials) => string>> = {
  WEIR_POSTGRES_PASSWORD: ({ postgres }) => postgres.password,
  WEIR_RABBITMQ_PASSWORD: ({ rabbitmq }) => rabbitmq.password,
  WEIR_MINIO_ACCESS: ({ minio }) => minio.accessKey,
  WEIR_MINIO_SECRET: ({ minio }) => minio.secretKey,
  WEIR_REDIS_PASSWORD: ({ redis }) => redis.password,
  WEIR_KAFKA_CLUSTER_ID: ({ kafkaClusterId }) => kafkaClusterId,
};

/**
 * Everything that docker-compose.yml leaves open: the credentials of a data folder and the published ports with its
 * offset. The containers then have the ports and credentials that the native stack would have.
 */
export function composeEnvironment(credentials: Credentials, portOffset: number): Record<string, string> {
  const secrets = Object.entries(SECRETS).map(([name, secretOf]) => [name, secretOf(credentials)]);
  const names = Object.keys(PORTS) as PortName[];
  const ports = names.map((name) => [portVariable(name), String(portOf(name, portOffset))]);
  return Object.fromEntries([...secrets, ...ports]) as Record<string, string>;
}

// Names cannot hold a quote or a brace, so these placeholders pass through URLs unharmed.
const variable = (name: keyof typeof SECRETS): string =>
  `\${${name}:?write .env first: node_modules/.bin/node infra/compose/env.ts}`;

/** The credentials as docker-compose.yml spells them: each a variable that must be set. */
export const PLACEHOLDERS: Credentials = {
  postgres: { user: 'weir', password: variable('WEIR_POSTGRES_PASSWORD'), database: 'weir' },
  rabbitmq: { user: 'weir', password: variable('WEIR_RABBITMQ_PASSWORD'), vhost: 'weir' },
  minio: { accessKey: variable('WEIR_MINIO_ACCESS'), secretKey: variable('WEIR_MINIO_SECRET') },
  redis: { password: variable('WEIR_REDIS_PASSWORD') },
  kafkaClusterId: variable('WEIR_KAFKA_CLUSTER_ID'),
};
