import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WeirError } from '@weir/flow';

/** Random secrets of one data folder. The databases inside it were created with them, so they live and die with it. */
export interface Credentials {
  readonly postgres: { readonly user: string; readonly password: string; readonly database: string };
  readonly rabbitmq: { readonly user: string; readonly password: string; readonly vhost: string };
  readonly minio: { readonly accessKey: string; readonly secretKey: string };
  readonly redis: { readonly password: string };
  /** Identity of the Kafka cluster, base64url of 16 bytes. */
  readonly kafkaClusterId: string;
}

// Letters and digits only: these go into URLs and configuration files unescaped.
const secret = (): string => randomBytes(20).toString('hex');

export function newCredentials(): Credentials {
  return {
    postgres: { user: 'weir', password: secret(), database: 'weir' },
    rabbitmq: { user: 'weir', password: secret(), vhost: 'weir' },
    minio: { accessKey: `weir${randomBytes(6).toString('hex')}`, secretKey: secret() },
    redis: { password: secret() },
    kafkaClusterId: randomBytes(16).toString('base64url'),
  };
}

/** Reads `<dataDir>/credentials.json` (mode 0600), creating it the first time. */
export function loadCredentials(dataDir: string): Credentials {
  const path = join(dataDir, 'credentials.json');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const credentials = newCredentials();
    writePrivate(path, credentials);
    return credentials;
  }
  try {
    return JSON.parse(text) as Credentials;
  } catch (error) {
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      `${path} is damaged. The servers' data cannot be opened without it: restore it, or delete ${dataDir} to start empty.`,
      error,
    );
  }
}

/** Writes JSON that holds secrets: readable by its owner only, and whole or not at all. */
export function writePrivate(path: string, value: unknown): void {
  mkdirSync(join(path, '..'), { recursive: true });
  const unfinished = `${path}.${process.pid}`;
  writeFileSync(unfinished, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  chmodSync(unfinished, 0o600);
  renameSync(unfinished, path);
}
