import { join } from 'node:path';
import { openAdmin } from '@weir/connect-kafka';
import { applyTopology } from '@weir/connect-rabbitmq';
import {
  claimPartition,
  type Database,
  deviceState,
  migrate,
  openDatabase,
  PartitionWriter,
  rollupPart,
} from '@weir/connect-timescale';
import { retrying } from '@weir/flow';
import { createLogger } from '@weir/observe';
import { encodeEnvelope, envelopePrefix, joinLines } from '@weir/reading';
import {
  atEnd,
  CHECKOUT,
  type Isolated,
  isolated,
  type Scope,
  type SpawnedApp,
  spawnApp,
  type Wire,
  wireTo,
} from '@weir/testkit';
import { kafkaTopology } from '@weir/topology';
import { groupings, type WindowOptions } from '@weir/windows';

export const log = createLogger({ app: 'test', level: 'silent', format: 'json' });

export interface Bench {
  readonly space: Isolated;
  readonly database: Database;
  readonly app: SpawnedApp;
  /** The gateway's own ways to its servers, to be cut and frozen. */
  readonly wires: { readonly timescale: Wire; readonly redis: Wire };
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
}
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: the tests look at any part of any answer
  readonly body: any;
}

/** A gateway as a process, on real servers in a namespace of its own, with schema, topics and queues. */
export async function bench(scope: Scope, env: Readonly<Record<string, string>> = {}): Promise<Bench> {
  const space = await isolated(scope);
  await migrate(space.timescaleUrl, join(CHECKOUT, 'infra', 'migrations'));
  const topology = kafkaTopology(space.namespace);
  const admin = openAdmin({ brokers: space.brokers, clientId: 'gateway-it', log });
  // A busy broker may not know its new topic at once, which is a transient error.
  await retrying(() => admin.applyTopics([topology.readings, topology.deadLetters]), { attempts: 10 });
  await admin.close();
  await applyTopology({ url: space.rabbitmqUrl });
  const database = openDatabase({ url: space.timescaleUrl, log, poolSize: 2 });
  atEnd(scope, () => database.close());
  const wires = {
    timescale: await wireTo(scope, space.timescaleUrl),
    redis: await wireTo(scope, space.redisUrl),
  };
  const app = await spawnApp(scope, 'gateway', {
    ...space.env,
    WEIR_TIMESCALE__URL: wires.timescale.url,
    WEIR_REDIS__URL: wires.redis.url,
    ...env,
  });
  return {
    space,
    database,
    app,
    wires,
    get: async (path, headers = {}) => {
      const response = await fetch(`${app.url}${path}`, { headers, signal: AbortSignal.timeout(15_000) });
      const text = await response.text();
      const json = (response.headers.get('content-type') ?? '').includes('json') && text !== '';
      return { status: response.status, headers: response.headers, body: json ? JSON.parse(text) : text };
    },
  };
}

/** Rows as the aggregator writes them: one reading a second whose value is its second, from `start` on. */
export async function storeWindows(
  database: Database,
  series: { site: string; device: string; metric: string; unit: string | null },
  start: Date,
  seconds: number,
): Promise<void> {
  const [row] = await database.query<{ series_id: number }>(
    'adding a series',
    'INSERT INTO series (site, device, metric, unit) VALUES ($1, $2, $3, $4) RETURNING series_id',
    [series.site, series.device, series.metric, series.unit],
  );
  await database.query(
    'adding 1 s windows',
    `INSERT INTO windows_1s (series_id, ts, first_ts, last_ts, sum, min, max, m2, first, last, count)
     SELECT $1, t, t, t, n, n, n, 0, n, n, 1
       FROM (SELECT n::float8 AS n, $2::timestamptz + n * interval '1 second' AS t FROM generate_series(0, $3::int - 1) n) s`,
    [row?.series_id, start, seconds],
  );
  await database.query(
    'adding 10 s windows',
    `INSERT INTO windows_10s (series_id, ts, first_ts, last_ts, sum, min, max, m2, first, last, p50, p90, p99, count)
     SELECT $1, t, t, t + interval '9 seconds', n * 10 + 45, n, n + 9, 82.5, n, n + 9, n + 5, n + 8, n + 9, 10
       FROM (SELECT n::float8 AS n, $2::timestamptz + n * interval '1 second' AS t
               FROM generate_series(0, $3::int - 1, 10) n) s`,
    [row?.series_id, start, seconds],
  );
}

export async function storeAlert(
  database: Database,
  alert: {
    id: string;
    device: string;
    state: 'pending' | 'firing' | 'resolved';
    severity?: string;
    updatedAt: Date;
  },
): Promise<void> {
  const at = alert.updatedAt;
  await database.query(
    'adding an alert',
    `INSERT INTO alerts (id, rule, site, device, metric, severity, state, value, threshold,
                         started_at, fired_at, resolved_at, updated_at)
     VALUES ($1, 'too-warm', 'hall', $2, 'temperature', $3, $4, 31.5, 30, $5, $6, $7, $5)`,
    [
      alert.id,
      alert.device,
      alert.severity ?? 'warning',
      alert.state,
      at,
      alert.state === 'pending' ? null : at,
      alert.state === 'resolved' ? at : null,
    ],
  );
}

export interface SentReading {
  /** hall when it is left out. */
  readonly site?: string;
  readonly device: string;
  readonly metric: string;
  /** Event time, epoch milliseconds. */
  readonly ts: number;
  readonly value: number;
}

/** Stores readings as the aggregator does, with a commit after every `commitEvery`; nothing is late or silent. */
export async function foldReadings(
  database: Database,
  readings: readonly SentReading[],
  options: WindowOptions,
  commitEvery: number,
): Promise<void> {
  const topic = 'gateway-it';
  const rollups = rollupPart({ groupings: groupings(['site', 'fleet'], []) });
  const parts = [deviceState(options.outOfOrdernessMs), rollups];
  const writer = new PartitionWriter({ database, topic, parts });
  const { owned } = await writer.open(
    0,
    await claimPartition(database, topic, 0, 'test'),
    options,
    () => true,
  );
  for (let from = 0, offset = 0n; from < readings.length; from += commitEvery, offset++) {
    const lines = readings
      .slice(from, from + commitEvery)
      .map(({ site = 'hall', device, metric, ts, value }, i) => {
        const prefix = envelopePrefix({ edge: 'e/1', site, device, metric, via: 'http' });
        const payload = Buffer.from(JSON.stringify({ ts, seq: from + i, value }));
        return encodeEnvelope(prefix, { n: from + i, at: ts }, payload)
          .toString('utf8')
          .trimEnd();
      });
    // So far apart that every commit writes the row of the device.
    const now = Number(offset) * 15_000;
    owned.state.apply(offset, joinLines(lines), now);
    await writer.prepare([owned], () => now);
    await writer.write([writer.collect(owned, now)]);
  }
}
