import http from 'node:http';
import https from 'node:https';
import type { Readable } from 'node:stream';
import { WeirError } from '@weir/flow';
import { Client } from 'minio';
import { mapError } from './errors.ts';
import { type ArchiveRetention, applyRetention, retentionDifferences } from './lifecycle.ts';

export interface StoreOptions {
  /** `http://host:port` or `https://host:port`. */
  readonly url: string;
  readonly accessKey: string;
  readonly secretKey: string;
  /** Longest silence on a connection while a request is under way, in milliseconds; 15,000 when absent. */
  readonly idleTimeoutMs?: number;
}

/** User metadata of an object: lower-case names with `-`, ASCII values, 2 KiB in all. */
export type Metadata = Readonly<Record<string, string>>;

export interface ListedObject {
  readonly key: string;
  /** Bytes as stored. */
  readonly size: number;
  readonly storedAt: Date;
}

/** An object store that speaks S3. Every failure is a `WeirError`; retries are the caller's. */
export interface Store {
  /**
   * Creates the bucket unless it is there; true when it was created. `retention` decides whether a new bucket can lock
   * its objects, and is laid on a new or an old one.
   */
  ensureBucket(bucket: string, retention?: ArchiveRetention): Promise<boolean>;
  hasBucket(bucket: string): Promise<boolean>;
  /** In what the bucket's own rules differ from these, as sentences. */
  retentionDifferences(bucket: string, retention: ArchiveRetention): Promise<readonly string[]>;
  /** Stores `body` as one object; the server verifies its SHA-256 (HTTP) or MD5 (HTTPS). Replaces an older one. */
  put(bucket: string, key: string, body: Buffer, metadata?: Metadata): Promise<void>;
  /** Throws a data error (`WEIR_STATE`) when there is no such object. */
  get(bucket: string, key: string): Promise<{ readonly body: Buffer; readonly metadata: Metadata }>;
  /** `length` bytes (1 or more) of an object from `offset` on. Throws like `get`, and when the object is shorter. */
  read(bucket: string, key: string, offset: number, length: number): Promise<Buffer>;
  /** Size and metadata, or null when there is no such object. */
  stat(bucket: string, key: string): Promise<{ readonly size: number; readonly metadata: Metadata } | null>;
  /** Objects whose key begins with `prefix`, in the order of their keys. */
  list(bucket: string, prefix: string): AsyncGenerator<ListedObject, void, undefined>;
  remove(bucket: string, keys: readonly string[]): Promise<void>;
  /** Closes idle connections; idempotent. */
  close(): void;
}

/** Longest silence while a request is under way, milliseconds. */
export const STORE_IDLE_MS = 15_000;
/** Requests at a time. */
export const STORE_CALLS = 16;
const META = 'x-amz-meta-';

export function openStore(options: StoreOptions): Store {
  const url = new URL(options.url);
  const secure = url.protocol === 'https:';
  const agent = new (secure ? https : http).Agent({ keepAlive: true, maxSockets: STORE_CALLS });
  const idleMs = options.idleTimeoutMs ?? STORE_IDLE_MS;
  const client = new Client({
    endPoint: url.hostname,
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    useSSL: secure,
    accessKey: options.accessKey,
    secretKey: options.secretKey,
    region: 'us-east-1', // spares a request per bucket; MinIO has one region
    transportAgent: agent,
    transport: withIdleTimeout(secure, idleMs),
    retryOptions: { disableRetry: true },
  });

  const mapped = async <T>(doing: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw mapError(`${doing} at ${url.host}`, error);
    }
  };

  /** False when somebody else was faster. */
  const makeBucket = async (bucket: string, locked: boolean): Promise<boolean> => {
    try {
      await client.makeBucket(bucket, '', { ObjectLocking: locked });
      return true;
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== 'BucketAlreadyOwnedByYou' && code !== 'BucketAlreadyExists') throw error;
      return false;
    }
  };

  return {
    ensureBucket: (bucket, retention) =>
      mapped(`creating bucket ${bucket}`, async () => {
        const locked = retention !== undefined && retention.lock !== 'none';
        const made = !(await client.bucketExists(bucket)) && (await makeBucket(bucket, locked));
        if (retention !== undefined) await applyRetention(client, bucket, retention);
        return made;
      }),
    hasBucket: (bucket) => mapped(`looking up bucket ${bucket}`, () => client.bucketExists(bucket)),
    retentionDifferences: (bucket, retention) =>
      mapped(`reading the rules of bucket ${bucket}`, () => retentionDifferences(client, bucket, retention)),
    put: (bucket, key, body, metadata = {}) =>
      mapped(`storing ${key} in ${bucket}`, async () => {
        await client.putObject(bucket, key, body, body.length, { ...metadata });
      }),
    get: (bucket, key) =>
      mapped(`reading ${key} of ${bucket}`, async () => {
        const stream = await client.getObject(bucket, key);
        const body = await toBuffer(stream);
        return { body, metadata: metadataOf((stream as http.IncomingMessage).headers) };
      }),
    read: (bucket, key, offset, length) =>
      mapped(`reading ${length} bytes of ${key} of ${bucket} at ${offset}`, async () => {
        const body = await toBuffer(await client.getPartialObject(bucket, key, offset, length));
        if (body.length === length) return body;
        throw new WeirError('WEIR_STATE', 'data', `${key} of ${bucket} ends before byte ${offset + length}`);
      }),
    stat: async (bucket, key) => {
      try {
        const { size, metaData } = await client.statObject(bucket, key);
        return { size, metadata: withoutPrefix(metaData as Record<string, string>) };
      } catch (error) {
        if ((error as { code?: string }).code === 'NotFound') return null;
        throw mapError(`looking up ${key} of ${bucket} at ${url.host}`, error);
      }
    },
    async *list(bucket, prefix) {
      const stream = client.listObjectsV2(bucket, prefix, true);
      try {
        for await (const item of stream as AsyncIterable<{
          name?: string;
          size: number;
          lastModified: Date;
        }>) {
          if (item.name !== undefined) {
            yield { key: item.name, size: item.size, storedAt: item.lastModified };
          }
        }
      } catch (error) {
        throw mapError(`listing ${prefix} of ${bucket} at ${url.host}`, error);
      }
    },
    remove: (bucket, keys) =>
      mapped(`deleting ${keys.length} objects of ${bucket}`, async () => {
        if (keys.length > 0) await client.removeObjects(bucket, [...keys]);
      }),
    close() {
      agent.destroy();
    },
  };
}

/** `Store.ensureBucket` for those who need nothing else of the store. */
export async function ensureBucket(options: StoreOptions, bucket: string): Promise<boolean> {
  const store = openStore(options);
  try {
    return await store.ensureBucket(bucket);
  } finally {
    store.close();
  }
}

/** The minio client waits for ever on a server that stopped answering; a socket that is silent for long is ended. */
function withIdleTimeout(secure: boolean, idleMs: number): Pick<typeof http, 'request'> {
  const { request } = secure ? https : http;
  return {
    request: ((options: http.RequestOptions, onResponse: (response: http.IncomingMessage) => void) => {
      const sent = request(options, onResponse);
      sent.setTimeout(idleMs, () => {
        sent.destroy(
          new WeirError(
            'WEIR_TIMEOUT',
            'transient',
            `${String(options.method)} ${String(options.host)}: no answer in ${idleMs} ms`,
          ),
        );
      });
      return sent;
    }) as typeof http.request,
  };
}

async function toBuffer(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function metadataOf(headers: http.IncomingHttpHeaders): Metadata {
  return withoutPrefix(
    Object.fromEntries(
      Object.entries(headers).filter(([name, value]) => name.startsWith(META) && typeof value === 'string'),
    ) as Record<string, string>,
  );
}

function withoutPrefix(values: Readonly<Record<string, string>>): Metadata {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name.startsWith(META) ? name.slice(META.length) : name,
      value,
    ]),
  );
}
