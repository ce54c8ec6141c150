import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '@weir/config';
import type { AppContext, StopPhase } from '@weir/lifecycle';
import { adminHandler, createLogger, Metrics } from '@weir/observe';
import {
  type DeviceCredential,
  decodeEnvelope,
  type Envelope,
  formatCredential,
  GENERATED_SECRET_COST,
  hashSecret,
} from '@weir/reading';
import { atEnd, freePorts, type Scope, until } from '@weir/testkit';
import type { PortName } from '@weir/topology';
import { runEdge } from '../flow.ts';
import { Tally } from '../forward/tally.ts';
import type { Alive } from '../liveness/alive-devices.ts';
import {
  DESTINATIONS,
  type DeadLetterRecord,
  type Destination,
  type EventRecord,
  parseDeadLetterBody,
  parseEventBody,
  type Spool,
  type SpoolRecord,
} from '../spool/index.ts';
import { type ConnectOptions, RawClient } from './raw-client.ts';

export const SECRET = 'a-secret-of-the-tests';
export const SITE = 'plant';

export interface TestDevice {
  readonly device: string;
  readonly publish?: readonly string[];
  readonly subscribe?: readonly string[];
}

export interface RigOptions {
  /** `WEIR_` variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Devices with `SECRET`; anonymous mode when absent. */
  readonly devices?: readonly TestDevice[];
  /** false: nothing leaves the spool before `drain` is called. */
  readonly drains?: boolean;
}

/** A whole edge in this process, with a real spool and no forwarder, so that a test sees what was made durable. */
export interface Rig {
  readonly dir: string;
  readonly mqttPort: number;
  readonly wsPort: number;
  readonly tlsPort: number;
  readonly url: string;
  readonly spool: Spool;
  /** Devices that were heard without a reading; takes them out. */
  alive(): Alive[];
  /** Everything durable so far, oldest first. */
  records(): Promise<readonly SpoolRecord[]>;
  envelopes(): Promise<readonly Envelope[]>;
  deadLetters(): Promise<readonly DeadLetterRecord[]>;
  events(): Promise<readonly EventRecord[]>;
  /** The value of a sample of `/metrics`; 0 when there is none. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
  connect(options: ConnectOptions): Promise<RawClient>;
  /** Begins to take records out of the spool. */
  drain(): void;
  /** Writes the credentials file anew. */
  setDevices(devices: readonly TestDevice[]): Promise<void>;
  stop(): Promise<void>;
}

export async function credential({
  device,
  publish = [],
  subscribe = [],
}: TestDevice): Promise<DeviceCredential> {
  return {
    device,
    site: SITE,
    hash: await hashSecret(SECRET, GENERATED_SECRET_COST),
    publish,
    subscribe,
    createdAt: new Date().toISOString(),
    revokedAt: null,
  };
}

export async function writeDevices(file: string, devices: readonly TestDevice[]): Promise<void> {
  const lines = await Promise.all(devices.map(async (device) => formatCredential(await credential(device))));
  await writeFile(file, `${lines.join('\n')}\n`);
}

const PHASES: readonly StopPhase[] = ['accept', 'settle', 'flush', 'close'];

export async function openRig(scope: Scope, options: RigOptions = {}): Promise<Rig> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-edge-'));
  atEnd(scope, () => rm(dir, { recursive: true, force: true }));
  const file = join(dir, 'devices.jsonl');
  if (options.devices !== undefined) await writeDevices(file, options.devices);
  const config = loadConfig({
    env: {
      WEIR_EDGE__DIR: dir,
      WEIR_EDGE__SPOOL__DIR: join(dir, 'spool'),
      ...(options.devices === undefined
        ? { WEIR_EDGE__ANONYMOUS: 'true' }
        : { WEIR_EDGE__CREDENTIALS_FILE: file, WEIR_EDGE__CREDENTIALS_REFRESH: '50ms' }),
      ...options.env,
    },
  });
  const [mqttPort = 0, wsPort = 0, tlsPort = 0, httpPort = 0] = await freePorts(4);
  const ports: Partial<Record<PortName, number>> = {
    mqtt: mqttPort,
    mqttWs: wsPort,
    mqttTls: tlsPort,
    edgeHttp: httpPort,
  };
  const stoppers: { phase: StopPhase; stop: () => Promise<void> | void }[] = [];
  const stopping = new AbortController();
  const metrics = new Metrics('edge');
  const checks = new Map();
  let state = 'running';
  const context: AppContext = {
    name: 'edge',
    version: '0',
    config,
    log: createLogger({ app: 'edge', level: 'fatal', format: 'json' }),
    metrics,
    stopping: stopping.signal,
    admin: adminHandler({ app: 'edge', version: '0', metrics, state: () => state, checks }),
    port: (name) => ports[name] ?? 0,
    onStop: (phase, _name, stop) => stoppers.push({ phase, stop }),
    readyWhen: (name, check) => checks.set(name, check),
    answer: () => {},
    fatal: (doing, error) => {
      throw new Error(doing, { cause: error });
    },
  };
  let alive = (): Alive[] => [];
  const spool = await runEdge(context, async (_context, { broker }) => {
    alive = () => broker.alive.take();
    return {
      status: () => ({ state: 'idle', lastError: null, records: 0, bytes: 0, oldestAt: null }),
      tally: new Tally('edge/spool', null, true, 0).numbers,
      stopAccepting: async () => {},
      stop: async () => {},
    };
  });

  const seen: SpoolRecord[] = [];
  const reading = new AbortController();
  const readAll = async (name: Destination): Promise<void> => {
    while (!reading.signal.aborted) {
      const records = await spool.reader(name).next(1 << 20, reading.signal);
      for (const record of records) {
        // each reader leaves out what its destination does not take; readings come to both
        if (name === 'kafka' || record.kind === 'event')
          seen.push({ ...record, body: Buffer.from(record.body) });
      }
      const last = records.at(-1);
      if (last !== undefined) spool.reader(name).commit(last.n);
    }
  };
  const readers: Promise<void>[] = [];
  const drain = (): void => {
    readers.push(...DESTINATIONS.map(readAll));
  };
  if (options.drains !== false) drain();

  let stopped = false;
  const stop = async (): Promise<void> => {
    if (stopped) return;
    stopped = true;
    state = 'draining';
    stopping.abort();
    for (const phase of PHASES) {
      if (phase === 'close') {
        reading.abort();
        await Promise.all(readers);
      }
      await Promise.all(stoppers.filter((s) => s.phase === phase).map(({ stop: run }) => run()));
    }
  };
  atEnd(scope, stop);

  const records = async (): Promise<readonly SpoolRecord[]> => {
    await until(() => spool.stats.pendingBytes === 0, {
      deadlineMs: 5_000,
      what: 'the spool is synced',
      everyMs: 2,
    });
    const { lastN } = spool.stats;
    await until(() => DESTINATIONS.every((name) => spool.reader(name).behind.records === 0) && lastN >= 0, {
      deadlineMs: 5_000,
      what: 'the spool is read',
      everyMs: 2,
    });
    return [...new Map(seen.map((record) => [record.n, record])).values()].sort((a, b) => a.n - b.n);
  };
  const ofKind = async (kind: SpoolRecord['kind']): Promise<readonly SpoolRecord[]> =>
    (await records()).filter((record) => record.kind === kind);

  return {
    dir,
    mqttPort,
    wsPort,
    tlsPort,
    url: `http://127.0.0.1:${httpPort}`,
    spool,
    alive: () => alive(),
    records,
    envelopes: async () => (await ofKind('reading')).map(({ body }) => decodeEnvelope(body.toString('utf8'))),
    deadLetters: async () => (await ofKind('dead-letter')).map(({ body }) => parseDeadLetterBody(body)),
    events: async () => (await ofKind('event')).map(({ body }) => parseEventBody(body)),
    metric: async (name, labels = {}) => {
      const found = (await metrics.registry.getMetricsAsJSON()).find((metric) => metric.name === name);
      const wanted = Object.entries(labels);
      const values = (found?.values ?? []) as { value: number; labels: Record<string, unknown> }[];
      return values
        .filter((value) => wanted.every(([key, text]) => value.labels[key] === text))
        .reduce((sum, value) => sum + value.value, 0);
    },
    connect: (connectOptions) => RawClient.connect(mqttPort, connectOptions),
    drain,
    setDevices: (devices) => writeDevices(file, devices),
    stop,
  };
}
