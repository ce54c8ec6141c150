import type { ChildProcess } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openAdmin } from '@weir/connect-kafka';
import { type Client, openClient } from '@weir/connect-mqtt';
import { type Database, openDatabase } from '@weir/connect-timescale';
import { errorMessage, WeirError } from '@weir/flow';
import { oneShot, provisionExtras, provisionTelegraf } from '@weir/infra';
import { createLogger } from '@weir/observe';
import { PORTS } from '@weir/topology';
import { payloadOf } from '../payloads.ts';
import { ended, launch, openServers, type PipelineOptions, progressTo, rootsOf } from '../pipeline.ts';
import type { Roots } from '../proc.ts';
import { type Arrivals, type Load, type SystemUnderTest, untilArrived, valuesOf } from '../system.ts';
import {
  kafkaToTimescale,
  mosquittoConf,
  mqttToKafka,
  PEER_SCHEMA,
  PEER_TABLE,
  PEER_TOPIC,
  type PeerAddresses,
  TELEGRAF_ENVIRONMENT,
} from './settings.ts';

type PeerOptions = Pick<PipelineOptions, 'dataDir' | 'portOffset' | 'say'>;

const { body, metric } = payloadOf('one-value');
const log = createLogger({ app: 'bench', level: 'silent', format: 'json' });
const READY_MS = 60_000;
const STOP_MS = 10_000;
const RECOUNT_MS = 300_000;
/** Rows are counted when the log of the database was quiet for one poll, and this often while it is not, ... */
const COUNT_MS = 1_000;
/** ... but not for more than a twentieth of the time. */
const COUNT_SHARE = 0.05;

/** The programs of the chain, built or fetched the first time. */
async function provisionPeer(say: (text: string) => void): Promise<{ root: string; telegraf: string }> {
  const root = await provisionExtras(progressTo(say));
  return { root, telegraf: await provisionTelegraf(progressTo(say)) };
}

/** mosquitto → Telegraf → Kafka → Telegraf → TimescaleDB, with servers set as Weir's. */
export async function openPeer({ dataDir, portOffset, say }: PeerOptions): Promise<SystemUnderTest> {
  const { root, telegraf } = await provisionPeer(say);
  const servers = await openServers({ dataDir, stackFile: undefined, portOffset, say, servers: SERVERS });
  const children = new Map<string, ChildProcess>();
  const addresses: PeerAddresses = {
    mqttPort: PORTS.mqtt + portOffset,
    brokers: (servers.env.WEIR_KAFKA__BROKERS ?? '').split(','),
    databaseUrl: servers.env.WEIR_TIMESCALE__URL ?? '',
  };
  const database = openDatabase({
    ...{ url: addresses.databaseUrl, log, poolSize: 1, name: 'bench' },
    statementTimeoutMs: RECOUNT_MS,
  });
  const stop = async (): Promise<void> => {
    await database.close();
    // What they did is in the database; mosquitto could only write down what it no longer needs.
    for (const child of children.values()) child.kill('SIGKILL');
    const deadline = Date.now() + STOP_MS;
    while ([...children.values()].some((child) => !ended(child)) && Date.now() < deadline) await delay(20);
    await servers.stop();
  };
  try {
    say('Creating topic and table ...');
    await createTopic(addresses.brokers);
    for (const statement of PEER_SCHEMA) await database.query('creating the table', statement);
    say('Starting mosquitto and Telegraf ...');
    const folder = join(dataDir, 'peer');
    const logs = join(dataDir, 'logs');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'mosquitto.conf'), mosquittoConf(addresses, INSIDE));
    const { program, args } = oneShot({
      root,
      binds: [[folder, INSIDE]],
      env: { PATH: '/usr/sbin:/usr/bin' },
      command: ['mosquitto', '-c', `${INSIDE}/mosquitto.conf`],
    });
    children.set('mosquitto', launch('mosquitto', [program, ...args], process.env, logs));
    const requireAlive = (): void => {
      for (const [name, child] of children) {
        if (!ended(child)) continue;
        throw new WeirError(
          'WEIR_STATE',
          'fatal',
          `${name} of the peer chain ended by itself. Its log is ${join(logs, `${name}.log`)}.`,
        );
      }
    };
    const probe = (): Promise<Client> =>
      openClient({ url: `mqtt://127.0.0.1:${addresses.mqttPort}`, clientId: 'probe' });
    // Telegraf gives up when its broker is not there yet.
    await untilReady('mosquitto', requireAlive, async () => {
      await (await probe()).close();
    });
    const environment = { ...process.env, ...TELEGRAF_ENVIRONMENT };
    const halves = { 'telegraf-kafka': kafkaToTimescale, 'telegraf-mqtt': mqttToKafka };
    for (const [name, render] of Object.entries(halves)) {
      const file = join(folder, `${name}.conf`);
      writeFileSync(file, render(addresses), { mode: 0o600 });
      children.set(name, launch(name, [telegraf, '--config', file], environment, logs));
    }
    // mosquitto drops what nobody has subscribed to yet.
    await untilReady('the peer chain', requireAlive, async () => {
      const client = await probe();
      await client.publish(`telemetry/v1/probe/probe/${metric}`, body(Date.now(), 1, 0), 1);
      await client.close();
      if ((await countRows(database, 'probe')) === 0) throw new Error('nothing came through it');
    });
    return new Peer(addresses.mqttPort, rootsOf(children), servers.pids, database, requireAlive, stop);
  } catch (error) {
    await stop();
    throw error;
  }
}

const SERVERS = ['kafka', 'timescale'] as const;
/** Where mosquitto sees its folder. */
const INSIDE = '/mnt';

async function createTopic(brokers: readonly string[]): Promise<void> {
  const admin = openAdmin({ brokers, clientId: 'bench', log });
  try {
    await admin.applyTopics([PEER_TOPIC]);
  } finally {
    await admin.close();
  }
}

/** Asks until `check` succeeds. */
async function untilReady(what: string, requireAlive: () => void, check: () => Promise<void>): Promise<void> {
  for (const deadline = Date.now() + READY_MS; ; await delay(200)) {
    requireAlive();
    try {
      return await check();
    } catch (error) {
      if (Date.now() < deadline) continue;
      throw new WeirError(
        'WEIR_TIMEOUT',
        'fatal',
        `Starting ${what}: not ready within ${READY_MS / 1_000} s (${errorMessage(error)}).`,
      );
    }
  }
}

async function countRows(database: Database, site: string): Promise<number> {
  const text = `SELECT count(*) AS rows FROM ${PEER_TABLE} WHERE site = $1`;
  const [row] = await database.query<{ rows: string }>('counting the rows', text, [site]);
  return Number(row?.rows ?? 0);
}

async function countDistinct(database: Database, site: string): Promise<number> {
  const text = `SELECT count(*) AS rows FROM (SELECT DISTINCT device, metric, time FROM ${PEER_TABLE} WHERE site = $1)`;
  const [row] = await database.query<{ rows: string }>('counting the readings', text, [site]);
  return Number(row?.rows ?? 0);
}

class Peer implements SystemUnderTest {
  readonly mqttPort: number;
  readonly clients: Roots;
  readonly servers: Roots;
  readonly #database: Database;
  readonly #requireAlive: () => void;
  readonly stop: () => Promise<void>;

  constructor(
    mqttPort: number,
    clients: Roots,
    servers: Roots,
    database: Database,
    requireAlive: () => void,
    stop: () => Promise<void>,
  ) {
    this.mqttPort = mqttPort;
    this.clients = clients;
    this.servers = servers;
    this.#database = database;
    this.#requireAlive = requireAlive;
    this.stop = stop;
  }

  async expect({ site, payload, say }: Load): Promise<Arrivals> {
    const database = this.#database;
    const values = (messages: number): number => valuesOf(payload, messages);
    const until = (count: () => Promise<number>, messages: number): Promise<void> =>
      untilArrived(async () => {
        this.#requireAlive();
        const rows = await count();
        return rows >= values(messages) ? undefined : `rows ${rows} of ${values(messages)}`;
      }, say);
    return {
      untilStored: (messages) =>
        until(
          this.#rarely(() => countRows(database, site)),
          messages,
        ),
      untilSettled: (messages) => until(() => countDistinct(database, site), messages),
      recount: async (messages) => {
        const [rows, distinct] = [await countRows(database, site), await countDistinct(database, site)];
        return { lost: values(messages) - distinct, duplicates: rows - distinct };
      },
    };
  }

  /** Does not count all rows ten times a second while they are written: that would cost the chain its database. */
  #rarely(count: () => Promise<number>): () => Promise<number> {
    let position = '';
    let counted = { rows: 0, at: 0, tookMs: 0 };
    return async () => {
      const [row] = await this.#database.query<{ lsn: string }>(
        'reading the WAL position',
        'SELECT pg_current_wal_insert_lsn()::text AS lsn',
      );
      const quiet = row?.lsn === position;
      position = row?.lsn ?? '';
      const pause = Math.max(COUNT_MS, counted.tookMs / COUNT_SHARE);
      const now = Date.now();
      if (quiet || now - counted.at > pause) {
        const rows = await count();
        counted = { rows, at: Date.now(), tookMs: Date.now() - now };
      }
      return counted.rows;
    };
  }
}
