import { globSync } from 'node:fs';
import { join } from 'node:path';
import { archiveRetention, type Config } from '@weir/config';
import { openAdmin } from '@weir/connect-kafka';
import { openStore } from '@weir/connect-minio';
import { restoreTopology, topologyDifferences, vhostOf } from '@weir/connect-rabbitmq';
import { migrate, openDatabase } from '@weir/connect-timescale';
import { retrying, WeirError } from '@weir/flow';
import { archiveBucket, deadLetterBucket, kafkaTopology } from '@weir/topology';
import { ROOT } from './paths.ts';
import { quietLogger } from './settings.ts';

/** One part of the topology. */
export interface TopologyPart {
  readonly name: string;
  readonly what: string;
  /** Idempotent; resolves to a sentence about what was done. */
  apply(): Promise<string>;
}

/** What of one part is not there, or is not as it should be. */
export interface TopologyCheck {
  readonly name: string;
  readonly what: string;
  differences(): Promise<readonly string[]>;
}

/** A server that has just started may still refuse some things for a moment. */
const RETRY = { attempts: 12, baseMs: 200, maxMs: 2_000 };

/** Applies one part, with patience for what passes by itself. */
export function applyPart(part: TopologyPart): Promise<string> {
  return retrying(() => part.apply(), RETRY);
}

const MIGRATIONS = join(ROOT, 'infra/migrations');

/** Everything that must exist before the apps run. Each part is independent of the others. */
export function topologyParts(config: Config): readonly TopologyPart[] {
  const { namespace, kafka, rabbitmq, timescale, minio } = config;
  const { readings, deadLetters } = kafkaTopology(namespace, config.retention);
  const bucket = archiveBucket(namespace);
  const letters = deadLetterBucket(namespace);
  return [
    {
      name: 'kafka',
      what: `Kafka topics ${readings.name}, ${deadLetters.name}`,
      async apply() {
        const admin = openAdmin({ brokers: kafka.brokers, clientId: 'weir-topology', log: quietLogger() });
        try {
          const { created } = await admin.applyTopics([readings, deadLetters]);
          return created.length === 0 ? 'present' : `created ${created.join(', ')}`;
        } finally {
          await admin.close();
        }
      },
    },
    {
      name: 'rabbitmq',
      what: 'RabbitMQ exchanges and queues',
      async apply() {
        await restoreTopology({ url: rabbitmq.url }, rabbitmq.managementUrl);
        return 'declared';
      },
    },
    {
      name: 'timescale',
      what: 'database schema',
      async apply() {
        const { applied } = await migrate(timescale.url, MIGRATIONS);
        return applied.length === 0 ? 'present' : `applied ${applied.join(', ')}`;
      },
    },
    {
      name: 'minio',
      what: `buckets ${bucket}, ${letters}`,
      async apply() {
        const store = openStore(minio);
        try {
          await store.ensureBucket(bucket, archiveRetention(config.retention));
          await store.ensureBucket(letters);
        } finally {
          store.close();
        }
        return 'present';
      },
    },
  ];
}

export function topologyChecks(config: Config): readonly TopologyCheck[] {
  const { namespace, kafka, rabbitmq, timescale, minio } = config;
  const { readings, deadLetters } = kafkaTopology(namespace, config.retention);
  const bucket = archiveBucket(namespace);
  const letters = deadLetterBucket(namespace);
  return [
    {
      name: 'kafka',
      what: 'topics',
      async differences() {
        const admin = openAdmin({ brokers: kafka.brokers, clientId: 'weir-topology', log: quietLogger() });
        try {
          const present = new Set(await admin.listTopics());
          return missing([readings.name, deadLetters.name].filter((name) => !present.has(name)));
        } finally {
          await admin.close();
        }
      },
    },
    {
      name: 'rabbitmq',
      what: 'exchanges, queues, bindings',
      differences: () => topologyDifferences(rabbitmq.managementUrl, vhostOf(rabbitmq.url)),
    },
    {
      name: 'timescale',
      what: 'migrations',
      async differences() {
        const database = openDatabase({ url: timescale.url, log: quietLogger(), poolSize: 1 });
        try {
          const known = await database.query<{ name: string }>(
            'reading the applied migrations',
            `SELECT name FROM schema_migrations`,
          );
          const applied = new Set(known.map(({ name }) => name));
          return missing(globSync('*.sql', { cwd: MIGRATIONS }).filter((name) => !applied.has(name)));
        } catch (error) {
          // Before the first migration there is no table of migrations.
          if (error instanceof WeirError && error.code === 'WEIR_STATE') return missing(['all migrations']);
          throw error;
        } finally {
          await database.close();
        }
      },
    },
    {
      name: 'minio',
      what: `bucket ${bucket} and its rules, bucket ${letters}`,
      async differences() {
        const store = openStore(minio);
        try {
          const rules = await store.retentionDifferences(bucket, archiveRetention(config.retention));
          return [...rules, ...((await store.hasBucket(letters)) ? [] : missing([letters]))];
        } catch (error) {
          if (error instanceof WeirError && error.code === 'WEIR_STATE') return missing([bucket]);
          throw error;
        } finally {
          store.close();
        }
      },
    },
  ];
}

function missing(names: readonly string[]): string[] {
  return [...names].sort().map((name) => `${name} is missing`);
}
