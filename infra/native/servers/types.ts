import type { PortName } from '@weir/topology';
import type { Credentials } from '../credentials.ts';
import type { Launch } from '../launch.ts';
import type { Provisioned } from '../provision.ts';

export const SERVER_NAMES = ['kafka', 'rabbitmq', 'timescale', 'minio', 'redis'] as const;
export type ServerName = (typeof SERVER_NAMES)[number];

export interface ServerContext {
  readonly provisioned: Provisioned;
  readonly credentials: Credentials;
  /** This server's own folder, kept between starts. */
  readonly folder: string;
  readonly port: (name: PortName) => number;
  readonly env: Readonly<Record<string, string>>;
}

/** One server of the native stack. */
export interface ServerDefinition {
  readonly name: ServerName;
  /** The name that people know ("PostgreSQL with TimescaleDB"). */
  readonly title: string;
  readonly ports: readonly PortName[];
  readonly stopSignal: NodeJS.Signals;
  /** Creates what the server needs before its first start and writes its configuration. Idempotent. */
  readonly prepare: (context: ServerContext) => Promise<void>;
  readonly launch: (context: ServerContext) => Launch;
  /** Resolves when the server does its work for an app, rejects with the reason otherwise. */
  readonly answers: (context: ServerContext) => Promise<void>;
}
