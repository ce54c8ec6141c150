import { cpSync, globSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openProducer } from '@weir/connect-kafka';
import { openStore } from '@weir/connect-minio';
import { migrate } from '@weir/connect-timescale';
import { createLogger } from '@weir/observe';
import { CHECKOUT, type Isolated, withDatabase } from '@weir/testkit';
import { archiveBucket, kafkaTopology, LEVELS } from '@weir/topology';
import { from as copyFrom } from 'pg-copy-streams';
import type { KnownReading } from './recompute.ts';

const log = createLogger({ app: 'test', level: 'error', format: 'json' });
const ROOT = join(CHECKOUT, 'test/recorded');

export interface RecordedRecord {
  readonly partition: number;
  readonly offset: string;
  readonly timestamp: number;
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: string;
}

/** What a version of Weir wrote; see test/recorded. */
export class Recorded {
  readonly folder: string;
  readonly readings: readonly RecordedRecord[];
  readonly deadLetters: readonly RecordedRecord[];
  readonly known: readonly KnownReading[];

  constructor(version: string) {
    this.folder = join(ROOT, version);
    const read = (name: string) => JSON.parse(readFileSync(join(this.folder, name), 'utf8'));
    this.readings = read('readings.json') as RecordedRecord[];
    this.deadLetters = read('dead-letters.json') as RecordedRecord[];
    this.known = read('known.json') as KnownReading[];
  }

  /** The archive's objects: key and bytes as stored, with their metadata. */
  get objects(): { key: string; body: Buffer; metadata: Record<string, string> }[] {
    const root = join(this.folder, 'archive');
    return globSync('**/*.zst', { cwd: root }).map((key) => ({
      key,
      body: readFileSync(join(root, key)),
      metadata: JSON.parse(readFileSync(join(root, `${key}.metadata.json`), 'utf8')) as Record<
        string,
        string
      >,
    }));
  }

  /** Puts records back at the partitions and offsets that they had; the topics must be new. */
  async restoreLog(space: Isolated): Promise<void> {
    const { readings, deadLetters } = kafkaTopology(space.namespace);
    const producer = openProducer({ brokers: space.brokers, clientId: 'weir-test', log });
    try {
      for (const [topic, records] of [
        [readings.name, this.readings],
        [deadLetters.name, this.deadLetters],
      ] as const) {
        const next = new Map<number, number>();
        for (const { partition, offset } of records) {
          if (Number(offset) !== (next.get(partition) ?? 0))
            throw new Error(`${topic}: a recorded offset is missing`);
          next.set(partition, Number(offset) + 1);
        }
        await producer.send(
          topic,
          records.map(({ partition, timestamp, key, headers, value }) => ({
            partition,
            timestamp,
            key: key === null ? null : Buffer.from(key),
            headers: inNamespace(headers, space.namespace),
            value: Buffer.from(value),
          })),
        );
      }
    } finally {
      await producer.close();
    }
  }

  /** Lays the rows into a database with the schema of their time. */
  async restoreDatabase(space: Isolated, migrations: number): Promise<void> {
    const old = mkdtempSync(join(space.folder, 'migrations-'));
    const all = join(CHECKOUT, 'infra/migrations');
    for (const name of globSync('*.sql', { cwd: all }).sort().slice(0, migrations))
      cpSync(join(all, name), join(old, name));
    await migrate(space.timescaleUrl, old);
    const topic = kafkaTopology(space.namespace).readings.name;
    await withDatabase(space.timescaleUrl, async (client) => {
      for (const table of [
        'series',
        ...LEVELS.map((level) => level.table),
        'partition_offsets',
        'device_credentials',
      ]) {
        const text = readFileSync(join(this.folder, 'database', `${table}.tsv`), 'utf8');
        const columns = text.slice(0, text.indexOf('\n')).replaceAll('\t', ', ');
        const stream = client.query(copyFrom(`COPY ${table} (${columns}) FROM STDIN (HEADER)`));
        await pipeline([Buffer.from(text)], stream);
      }
      await client.query('UPDATE partition_offsets SET topic = $1', [topic]);
      await client.query(
        `SELECT setval(pg_get_serial_sequence('series', 'series_id'), max(series_id)) FROM series`,
      );
    });
  }

  async restoreArchive(space: Isolated): Promise<void> {
    const store = openStore(space.minio);
    const bucket = archiveBucket(space.namespace);
    try {
      await store.ensureBucket(bucket);
      for (const { key, body, metadata } of this.objects) await store.put(bucket, key, body, metadata);
    } finally {
      store.close();
    }
  }
}

/** The recorder took the namespace of its topics away. */
function inNamespace(headers: RecordedRecord['headers'], namespace: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, text]) => [name, text.replace(/^weir\./, `${namespace}.weir.`)]),
  );
}
