/**
 * Records what this version of Weir writes, for the test of the next one. Run by hand before a release (see README):
 *   WEIR_TEST_STACK=<stack.json> node test/recorded/record.ts <folder>
 */
import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { openConsumer } from '@weir/connect-kafka';
import { openStore } from '@weir/connect-minio';
import { encodeTopic, Link } from '@weir/connect-mqtt';
import { createLogger } from '@weir/observe';
import { isolated, type Scope, spawnApp, until, withDatabase } from '@weir/testkit';
import { archiveBucket, kafkaTopology, LEVELS } from '@weir/topology';
import { to as copyTo } from 'pg-copy-streams';
import { weir } from '../support/pipeline.ts';
import { kafkaLines } from '../support/sinks.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('name the folder to write to');
const log = createLogger({ app: 'record', level: 'error', format: 'json' });
const TABLES = ['series', ...LEVELS.map(({ table }) => table), 'partition_offsets', 'device_credentials'];
const MINUTE = 60_000;
/** Event time at which the recording begins: late in an hour, so that windows of every level close. */
const T = Date.parse('2026-02-03T09:20:00Z');
/** Minute from which on nothing is in the windows or the archive yet: the next version folds it. */
const HANDOVER = 75;

interface Known {
  readonly device: string;
  readonly metric: string;
  readonly ts: number;
  readonly seq: number;
  readonly value: number;
}
const known: Known[] = [];
const tidies: (() => Promise<void>)[] = [];
const scope: Scope = { after: (tidy) => void tidies.push(tidy) };

function write(path: string, content: string | Buffer): void {
  const file = join(folder as string, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}
const json = (items: readonly unknown[]): string =>
  `[\n${items.map((item) => JSON.stringify(item)).join(',\n')}\n]\n`;

/** A device with packet ids of its own; resolves when the edge acknowledged. */
class Device {
  readonly #link: Link;
  readonly #site: string;
  readonly #id: string;
  readonly #waiting = new Map<number, () => void>();
  #packet = 0;

  constructor(port: number, site: string, id: string) {
    this.#site = site;
    this.#id = id;
    this.#link = new Link(
      { host: '127.0.0.1', port, clientId: id },
      { onAck: (packet) => this.#waiting.get(packet)?.(), onClose: (error) => Promise.reject(error) },
    );
  }

  opened = (): Promise<void> => this.#link.opened();
  end = (): Promise<void> => this.#link.end();

  /** @param again the packet id of a publish that is sent once more, with the DUP flag */
  async say(payload: unknown, metric = '', again?: number): Promise<number> {
    const id = again ?? ++this.#packet;
    const acknowledged = new Promise<void>((resolve) => this.#waiting.set(id, resolve));
    const topic = encodeTopic(`telemetry/v1/${this.#site}/${this.#id}${metric === '' ? '' : `/${metric}`}`);
    const text = typeof payload === 'string' ? payload : JSON.stringify(payload);
    this.#link.publish(topic, Buffer.from(text), { qos: 1, id, dup: again !== undefined });
    await acknowledged;
    return id;
  }
}

/** Publishes minutes `from`..`to` of every device; `know` says whether the windows count it. */
async function publish(port: number, from: number, to: number, know = true): Promise<void> {
  const count = (device: string, metric: string, ts: number, seq: number, value: number): void => {
    if (know) known.push({ device, metric, ts, seq, value });
  };
  const steady = new Device(port, 'plant-1', 'rec-steady');
  const many = new Device(port, 'plant-2', 'rec-many');
  const bare = new Device(port, 'plant-1', 'rec-bare');
  const array = new Device(port, 'plant-2', 'rec-array');
  const devices = [steady, many, bare, array];
  await Promise.all(devices.map((device) => device.opened()));
  if (from >= HANDOVER) {
    // A repetition of a reading that the windows took before they changed hands, and one for a row of theirs.
    const t = T + (from - 3) * MINUTE;
    const seq = (from - 3) * 100;
    await steady.say({ ts: t, seq, value: from - 3 - 30, unit: 'C' });
    await many.say({ ts: t + 9, seq: seq + 60, values: { a: 77 } });
    count('rec-many', 'a', t + 9, seq + 60, 77);
  }
  for (let minute = from; minute < to; minute += 3) {
    const t = T + minute * MINUTE;
    // Five readings of one second: this pane has a sketch. The value crosses zero and grows large.
    for (let i = 0; i < 5; i++) {
      const ts = t + i * 150;
      const seq = minute * 100 + i;
      const value = (minute - 30) * 10 ** i + i / 8;
      await steady.say({ ts, seq, value, unit: 'C' });
      count('rec-steady', 'value', ts, seq, value);
      if (i === 2) await steady.say({ ts, seq, value, unit: 'C' });
    }
    const seq = minute * 100;
    await many.say({ ts: new Date(t + 7).toISOString(), seq, values: { a: minute / 3, b: -minute, c: 0 } });
    for (const [metric, value] of [
      ['a', minute / 3],
      ['b', -minute],
      ['c', 0],
    ] as const)
      count('rec-many', metric, t + 7, seq, value);
    // No seq: only the DUP flag tells a repetition; the same again without it counts.
    const packet = await bare.say({ ts: t + 11, value: minute + 0.5 }, 'level');
    await bare.say({ ts: t + 11, value: minute + 0.5 }, 'level', packet);
    await bare.say({ ts: t + 12, value: minute + 0.25 }, 'level');
    count('rec-bare', 'level', t + 11, 0, minute + 0.5);
    count('rec-bare', 'level', t + 12, 1, minute + 0.25);
    // Late within bounds: into windows that have rows. Line breaks stand as text in the envelope.
    const late = t - 5 * MINUTE + 333;
    await array.say(
      `[\n{"ts":${t + 5},"seq":${seq},"value":${minute}},\n{"ts":${late},"seq":${seq + 1},"value":-1.5}]`,
    );
    count('rec-array', 'value', t + 5, seq, minute);
    count('rec-array', 'value', late, seq + 1, -1.5);
    if (minute > 30 && minute % 9 === 0) await steady.say({ ts: t - 25 * MINUTE, seq: seq + 50, value: 1 }); // too late: a dead letter
  }
  if (from === 0) await steady.say('{"ts":');
  await Promise.all(devices.map((device) => device.end()));
}

async function run(): Promise<void> {
  rmSync(folder as string, { recursive: true, force: true });
  const own = await isolated(scope);
  const env = {
    ...own.env,
    WEIR_EDGE__ANONYMOUS: 'true',
    WEIR_ARCHIVER__OBJECT_AGE: '2s',
    WEIR_AGGREGATOR__COMMIT_INTERVAL: '200ms',
  };
  const space = { ...own, env };
  const topology = kafkaTopology(space.namespace);
  await weir(env, 'topology', 'apply');
  await weir(env, 'device', 'add', 'plant-1', 'rec-steady');
  const edge = await spawnApp(scope, 'edge', env);
  const aggregator = await spawnApp(scope, 'aggregator', env);
  const archiver = await spawnApp(scope, 'archiver', env);
  const port = 1883 + space.portOffset;

  const ends = async () => {
    const next = new Map<number, bigint>();
    for (const { partition, offset } of await kafkaLines(space)) next.set(partition, offset + 1n);
    return next;
  };
  for (const from of [0, 24, 48]) {
    await publish(port, from, Math.min(from + 24, HANDOVER));
    await delay(500); // a few commits, so that rows are rewritten
  }
  await publish(port, 72, HANDOVER);
  await until(
    () =>
      withDatabase(space.timescaleUrl, async (client) => {
        const { rows } = await client.query<{ partition: number; next_offset: string }>(
          'SELECT partition, next_offset FROM partition_offsets',
        );
        const wanted = [...(await ends())];
        const lines = (await kafkaLines(space)).filter((l) => l.payload.includes(`"seq":${72 * 100 + 4},`));
        return (
          lines.length > 0 &&
          wanted.every(([p, next]) =>
            rows.some((row) => row.partition === p && BigInt(row.next_offset) === next),
          )
        );
      }),
    { deadlineMs: 60_000, what: 'the first part in the windows', everyMs: 100 },
  );
  // Before the idle timeout: the windows of this minute are open.
  await aggregator.kill('SIGKILL');
  const store = openStore(space.minio);
  const bucket = archiveBucket(space.namespace);
  const objects = async () => {
    const all: { key: string; size: number }[] = [];
    for await (const object of store.list(bucket, '')) all.push(object);
    return all;
  };
  const stored = await ends();
  await until(
    async () => {
      const keys = (await objects()).map(({ key }) => key);
      return [...stored].every(([p, next]) =>
        keys.some(
          (key) =>
            key.includes(`/p${p}-`) && key.endsWith(`-${String(next - 1n).padStart(20, '0')}.ndjson.zst`),
        ),
      );
    },
    { deadlineMs: 60_000, what: 'the first part in the archive', everyMs: 200 },
  );
  await archiver.kill('SIGKILL');
  const before = (await kafkaLines(space)).length;
  await publish(port, HANDOVER, 111);
  await until(
    async () => (await kafkaLines(space)).some((l) => l.payload.includes(`"seq":${108 * 100 + 4},`)),
    {
      deadlineMs: 30_000,
      what: 'the second part in Kafka',
      everyMs: 200,
    },
  );
  console.error(`${before} lines in the windows, ${(await kafkaLines(space)).length} in the log`);
  await edge.stop();

  for (const [name, topic] of [
    ['readings', topology.readings],
    ['dead-letters', topology.deadLetters],
  ] as const)
    write(
      `${name}.json`,
      json(await records(space.brokers, topic.name, `${space.namespace}.record-${name}`)),
    );
  for (const { key } of await objects()) {
    const { body, metadata } = await store.get(bucket, key);
    write(join('archive', key), body);
    write(join('archive', `${key}.metadata.json`), `${JSON.stringify(metadata, null, 2)}\n`);
  }
  store.close();
  await withDatabase(space.timescaleUrl, async (client) => {
    for (const table of TABLES) {
      const chunks: Buffer[] = [];
      await pipeline(
        client.query(copyTo(`COPY (SELECT * FROM ${table} ORDER BY 1, 2) TO STDOUT (HEADER)`)),
        async (source) => {
          for await (const chunk of source) chunks.push(chunk as Buffer);
        },
      );
      const text = Buffer.concat(chunks).toString('utf8');
      write(
        join('database', `${table}.tsv`),
        text.replaceAll(`${space.namespace}.`, '').replaceAll(`${hostname()}/`, 'recorder/'),
      );
    }
  });
  write('known.json', json(known));

  // A spool whose brokers were away: nothing of it was forwarded.
  const dir = join(space.folder, 'away');
  const lonely = await spawnApp(
    scope,
    'edge',
    {
      ...env,
      WEIR_EDGE__ID: 'edge-2',
      WEIR_EDGE__DIR: dir,
      WEIR_EDGE__SPOOL__DIR: join(dir, 'spool'),
      WEIR_EDGE__SPOOL__SEGMENT_SIZE: '4KiB',
      WEIR_KAFKA__BROKERS: '127.0.0.1:1',
      WEIR_RABBITMQ__URL: 'amqp://nobody:nobody@127.0.0.1:1/none',
    },
    { waitReady: false },
  );
  await until(async () => (await fetch(`${lonely.url}/livez`)).ok, { deadlineMs: 20_000, what: 'the edge' });
  await publish(port, 120, 150, false);
  await lonely.kill('SIGKILL');
  cpSync(join(dir, 'spool'), join(folder as string, 'spool'), { recursive: true });
}

async function records(brokers: readonly string[], topic: string, groupId: string): Promise<unknown[]> {
  const found: { partition: number; offset: string }[] = [];
  const left = new Set<number>();
  let assigned = 0;
  const consumer = openConsumer({
    brokers,
    clientId: 'record',
    log,
    groupId,
    topic,
    sessionTimeoutMs: 6_000,
    handler: {
      assigned: async (partition, place) => {
        assigned++;
        if (place.end > place.start) left.add(partition);
        ends.set(partition, place.end);
        return place.start;
      },
      batch: async (partition, batch) => {
        for (const { offset, timestamp, key, value, headers } of batch) {
          found.push({
            partition,
            offset: String(offset),
            timestamp,
            key: key?.toString('utf8') ?? null,
            headers: Object.fromEntries(
              Object.entries(headers).map(([name, text]) => [name, text.replaceAll(/\bt[0-9a-f]{8}\./g, '')]),
            ),
            value: value.toString('utf8'),
          } as { partition: number; offset: string });
          if (offset + 1n >= (ends.get(partition) ?? 0n)) left.delete(partition);
        }
      },
      revoked: async () => undefined,
    },
    onFatal: (error) => {
      throw error;
    },
  });
  const ends = new Map<number, bigint>();
  await consumer.start();
  await until(() => assigned > 0 && left.size === 0, { deadlineMs: 30_000, what: `the records of ${topic}` });
  await consumer.stop();
  return found.sort((a, b) => a.partition - b.partition || Number(a.offset) - Number(b.offset));
}

try {
  await run();
} finally {
  for (const tidy of tidies.reverse()) await tidy();
}
