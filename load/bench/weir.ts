import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openArchive } from '@weir/connect-minio';
import { manage } from '@weir/connect-rabbitmq';
import { type Database, openDatabase } from '@weir/connect-timescale';
import { createLogger } from '@weir/observe';
import { archiveBucket, kafkaTopology, PORTS } from '@weir/topology';
import type { Pipeline } from './pipeline.ts';
import type { Roots } from './proc.ts';
import { type Samples, scrape, sumOf } from './scrape.ts';
import { type Arrivals, type Load, type SystemUnderTest, untilArrived, valuesOf } from './system.ts';

/** Readings or messages that reached the end of each branch, as the branch's own app counts them. */
interface Arrived {
  /** Values in committed windows. */
  readonly windows: number;
  /** Messages in stored archive objects. */
  readonly archive: number;
  /** Values taken from RabbitMQ and settled. */
  readonly rabbitmq: number;
}

/** Bytes written behind each hop since the servers started. */
export interface HopBytes {
  readonly kafka: number | null;
  readonly rabbitmq: number | null;
  readonly postgresWal: number | null;
  readonly archiveRaw: number;
  readonly archiveStored: number;
}

const RECOUNT_MS = 300_000;
const LEDGER = 'weir_ledger_readings_total';
const stored = (samples: Samples, hop: string): number =>
  sumOf(samples, LEDGER, `hop="${hop}"`, 'outcome="stored"');

/** Weir as the benchmark sees it: sent to over MQTT, asked and recounted at its far ends. */
export class Weir implements SystemUnderTest {
  readonly mqttPort: number;
  readonly clients: Roots;
  readonly servers: Roots;
  readonly #pipeline: Pipeline;
  readonly #database: Database;

  constructor(pipeline: Pipeline) {
    this.mqttPort = PORTS.mqtt + pipeline.portOffset;
    this.clients = pipeline.clients;
    this.servers = pipeline.servers;
    this.#pipeline = pipeline;
    const log = createLogger({ app: 'bench', level: 'silent', format: 'json' });
    this.#database = openDatabase({
      ...{ url: this.#env('WEIR_TIMESCALE__URL'), log, poolSize: 1, name: 'bench' },
      statementTimeoutMs: RECOUNT_MS,
    });
  }

  async stop(): Promise<void> {
    await this.#database.close();
    await this.#pipeline.stop();
  }

  async expect({ site, payload, say }: Load): Promise<Arrivals> {
    const begin = await this.#arrived();
    const values = (messages: number): number => valuesOf(payload, messages);
    return {
      untilStored: (messages) =>
        untilArrived(async () => {
          const windows = stored(await this.#samplesOf('aggregator'), 'aggregator') - begin.windows;
          return windows >= values(messages) ? undefined : `windows ${windows} of ${values(messages)}`;
        }, say),
      untilSettled: (messages) =>
        untilArrived(async () => {
          const now = await this.#arrived();
          const archive = now.archive - begin.archive;
          const rabbitmq = now.rabbitmq - begin.rabbitmq;
          if (archive >= messages && rabbitmq >= values(messages)) return undefined;
          return `archive ${archive} of ${messages}, RabbitMQ ${rabbitmq} of ${values(messages)}`;
        }, say),
      recount: async (messages) => {
        const inWindows = await this.#countWindows(site);
        const inArchive = (await this.#countArchive()) - begin.archive;
        return {
          lost: Math.max(0, values(messages) - inWindows, values(messages - inArchive)),
          duplicates: Math.max(0, inWindows - values(messages)),
        };
      },
    };
  }

  async samples(): Promise<Samples> {
    const pages = await Promise.all(
      (['edge', 'aggregator', 'archiver', 'alerter'] as const).map((app) => this.#samplesOf(app)),
    );
    return new Map(pages.flatMap((page) => [...page]));
  }

  async bytes(): Promise<HopBytes> {
    const samples = await this.samples();
    const wal = await this.#database.query<{ bytes: string }>(
      'reading the WAL position',
      "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') AS bytes",
    );
    return {
      kafka: this.#kafkaBytes(),
      rabbitmq: await this.#rabbitmqBytes(),
      postgresWal: Number(wal[0]?.bytes ?? 0),
      archiveRaw: sumOf(samples, 'weir_archive_bytes_total', 'form="raw"'),
      archiveStored: sumOf(samples, 'weir_archive_bytes_total', 'form="stored"'),
    };
  }

  async #arrived(): Promise<Arrived> {
    const samples = await this.samples();
    return {
      windows: stored(samples, 'aggregator'),
      archive: stored(samples, 'archiver'),
      rabbitmq: stored(samples, 'alerter'),
    };
  }

  #samplesOf(app: 'edge' | 'aggregator' | 'archiver' | 'alerter'): Promise<Samples> {
    return scrape(this.#pipeline.url(app));
  }

  /** Values in the finest windows of a site, summed by the database. */
  async #countWindows(site: string): Promise<number> {
    const rows = await this.#database.query<{ values: string | null }>(
      'counting the values in windows',
      'SELECT sum(count) AS values FROM windows_1s JOIN series USING (series_id) WHERE site = $1',
      [site],
    );
    return Number(rows[0]?.values ?? 0);
  }

  /** Lines in all objects, by the archive's own metadata. */
  async #countArchive(): Promise<number> {
    const archive = openArchive({
      url: this.#env('WEIR_MINIO__URL'),
      accessKey: this.#env('WEIR_MINIO__ACCESS_KEY'),
      secretKey: this.#env('WEIR_MINIO__SECRET_KEY'),
      bucket: archiveBucket(this.#pipeline.env.WEIR_NAMESPACE),
    });
    try {
      let lines = 0;
      for await (const object of archive.listObjects()) lines += (await archive.info(object)).count;
      return lines;
    } finally {
      archive.close();
    }
  }

  #env(name: string): string {
    return this.#pipeline.env[name] ?? '';
  }

  /** Size of the log segments of the readings topic; null when the broker's folder is not ours. */
  #kafkaBytes(): number | null {
    const { serverData, env } = this.#pipeline;
    if (serverData === undefined) return null;
    const { name } = kafkaTopology(env.WEIR_NAMESPACE).readings;
    const folder = join(serverData, 'kafka');
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.log') && path.includes(`${name}-`))
      .reduce((sum, path) => sum + statSync(join(folder, path)).size, 0);
  }

  /** Bytes that the broker received over AMQP; null when its management API does not tell. */
  async #rabbitmqBytes(): Promise<number | null> {
    try {
      const url = this.#env('WEIR_RABBITMQ__MANAGEMENT_URL');
      const connections = await manage<{ recv_oct?: number }[]>(url, '/api/connections?columns=recv_oct');
      return connections.reduce((sum, { recv_oct: bytes }) => sum + (bytes ?? 0), 0);
    } catch {
      return null;
    }
  }
}
