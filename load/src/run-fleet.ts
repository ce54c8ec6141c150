import { cpus, totalmem } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '@weir/config';
import { type Admin, type LogReader, openAdmin, openLogReader } from '@weir/connect-kafka';
import { openArchive } from '@weir/connect-minio';
import { openDatabase } from '@weir/connect-timescale';
import type { Logger } from '@weir/observe';
import { archiveBucket, kafkaTopology } from '@weir/topology';
import { Histogram, type Latency } from './measure/histogram.ts';
import { ProcessWatch } from './measure/watch-processes.ts';
import { type Second, type SentFleet, sendFleet } from './open/send.ts';
import type { FleetReport, ProcessReport } from './report/report.ts';
import { judge, parseThreshold } from './report/thresholds.ts';
import { factorAt } from './scenario/curve.ts';
import { classesOf, connectionCount, deviceNames, type RunPlace } from './scenario/fleet-plan.ts';
import type { DeviceClass, Scenario } from './scenario/schema.ts';
import { readArchive } from './sinks/archive.ts';
import { endsOf, type Offsets, readKafka, readLetters } from './sinks/kafka.ts';
import { ProbeWatch } from './sinks/probes.ts';
import { RabbitSink } from './sinks/rabbitmq.ts';
import { Register, type SinkName, type SinkReport, Tally } from './sinks/tally.ts';
import { readWindows } from './sinks/windows.ts';

export interface FleetRunOptions {
  readonly scenario: Scenario;
  readonly place: RunPlace;
  /** The servers behind the edges. */
  readonly config: Pick<
    Config,
    'namespace' | 'kafka' | 'rabbitmq' | 'timescale' | 'minio' | 'retention' | 'aggregator' | 'archiver'
  >;
  /** `http://127.0.0.1:8080`; undefined: the WebSocket is not watched. */
  readonly gatewayUrl: string | undefined;
  /** Far ends that are read; without any the servers are not asked at all. */
  readonly sinks: readonly SinkName[];
  readonly thresholds: readonly string[];
  readonly secrets: Readonly<Record<string, string>>;
  /** Processes whose CPU and memory are watched, by name. */
  readonly processes: ReadonlyMap<string, number>;
  /** How long windows and archive have after the end of the run, milliseconds. */
  readonly settleMs: number;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly onSecond: (second: Second) => void;
  /** What is being done now, in a sentence. */
  readonly onStage: (what: string) => void;
  readonly onTrouble: (message: string) => void;
}

const POLL_MS = 200;
/** RabbitMQ has everything when nothing has come for so long. */
const QUIET_MS = 1_000;
const COUNT_DEADLINE_MS = 180_000;

/** Readings a second that a scenario means at a time of the run. */
export const offeredAt = (scenario: Scenario, ms: number): number =>
  ms >= scenario.duration
    ? 0
    : classesOf(scenario).reduce((sum, spec) => sum + spec.devices * spec.rate * factorAt(spec, ms), 0);

const SAMPLE_MS = 100;

/** Readings a second that a scenario means between two times of the run, milliseconds. */
function offeredBetween(scenario: Scenario, from: number, to: number): number {
  const samples = Math.max(1, Math.round((to - from) / SAMPLE_MS));
  const step = (to - from) / samples;
  let sum = 0;
  for (let i = 0; i < samples; i++) sum += offeredAt(scenario, from + (i + 0.5) * step);
  return sum / samples;
}

/** What was sent and acknowledged a second between two times of the run, milliseconds. */
function paceBetween(course: readonly Second[], from: number, to: number) {
  const upTo = (ms: number): Second | undefined => course.findLast(({ at }) => at * 1_000 <= ms);
  const first = upTo(from);
  const last = upTo(to);
  const length = (last?.at ?? 0) - (first?.at ?? 0);
  const pace = (of: 'sent' | 'acknowledged'): number =>
    length === 0 ? 0 : ((last?.counts[of] ?? 0) - (first?.counts[of] ?? 0)) / length;
  return { sent: pace('sent'), acknowledged: pace('acknowledged') };
}

/** Runs a scenario, waits until the pipeline has all of it, and reads every far end. */
export async function runFleet(options: FleetRunOptions): Promise<FleetReport> {
  const thresholds = options.thresholds.map(parseThreshold); // A mistake is told before anything is sent.
  const report = await measure(options);
  return { ...report, thresholds: judge(report, thresholds) };
}

async function measure(options: FleetRunOptions): Promise<Omit<FleetReport, 'thresholds'>> {
  const { scenario, place, config, sinks, log, signal, onStage, settleMs } = options;
  const has = (sink: SinkName): boolean => sinks.includes(sink);
  const topology = kafkaTopology(config.namespace);
  const kafka = { brokers: config.kafka.brokers, clientId: 'weir-fleet', log };
  const notes: string[] = [];
  const classes = classesOf(scenario);
  const names = deviceNames(scenario, place.site);
  const sites = [...new Set(names.map(({ site }) => site))];
  const byName = new Map(classes.map((one) => [one.name, one]));
  const specs = names.map(({ className }) => byName.get(className) as DeviceClass);
  const metrics = new Map(classes.map((one) => [one, one.metrics.map(({ name }) => name)]));
  const metricsOf = (id: number) => metrics.get(specs[id] as DeviceClass) ?? [];
  const register = new Register(names);
  const closers: (() => unknown)[] = [];
  try {
    // What is not wanted is not even connected to: the clients connect with their first call.
    const readings = openLogReader(kafka, topology.readings.name);
    const letters = openLogReader(kafka, topology.deadLetters.name);
    const admin = openAdmin(kafka);
    const database = openDatabase({
      url: config.timescale.url,
      log,
      poolSize: 2,
      statementTimeoutMs: COUNT_DEADLINE_MS,
      name: 'weir fleet',
    });
    const archive = openArchive({ ...config.minio, bucket: archiveBucket(config.namespace) });
    closers.push(
      () => readings.close(),
      () => letters.close(),
      () => admin.close(),
      () => database.close(),
      () => archive.close(),
    );
    const usesLog = sinks.length > 0;
    onStage('Looking at where the sinks stand');
    const from = usesLog ? endsOf(await readings.ends()) : NOWHERE;
    const lettersFrom = usesLog ? endsOf(await letters.ends()) : NOWHERE;
    const rabbit = has('rabbitmq')
      ? new RabbitSink({
          url: config.rabbitmq.url,
          managementUrl: config.rabbitmq.managementUrl,
          run: place.site,
          sites,
          register,
          metricsOf,
          slots: Math.max(...classes.map((one) => one.metrics.length)),
          isPunctual: (id) => isPunctual(specs[id] as DeviceClass),
          log,
        })
      : undefined;
    if (rabbit !== undefined) {
      closers.push(() => rabbit.stop());
      await rabbit.start();
    }
    const probes =
      has('windows') && scenario.probes > 0
        ? new ProbeWatch({
            scenario,
            site: place.site,
            database,
            outOfOrdernessMs: config.aggregator.outOfOrderness,
          })
        : undefined;
    if (probes !== undefined && options.gatewayUrl !== undefined)
      await probes.watchSocket(options.gatewayUrl);
    onStage(`Sending: ${scenario.name}, ${names.length} devices`);
    let watch: ProcessWatch | undefined;
    const sent = await sendFleet({
      ...{ scenario, place, signal },
      secrets: options.secrets,
      onSecond: options.onSecond,
      onTrouble: options.onTrouble,
      onStart: (startAt) => {
        watch = new ProcessWatch(options.processes, startAt);
        watch.start();
        probes?.start(startAt);
      },
    });
    const endedAt = Date.now();
    if (sent.interrupted) notes.push('The run was ended before its schedule was.');
    const { devices } = sent;
    const scheduleEnd = Math.min(endedAt, sent.startAt + scenario.duration);
    if (sent.interrupted) probes?.endAt(scheduleEnd);
    const to = usesLog ? await untilForwarded(readings, options, endedAt) : NOWHERE;

    const settled = async (group: string, extraMs: number): Promise<number | null> => {
      const deadline = endedAt + settleMs + extraMs;
      for (; ; await delay(POLL_MS)) {
        if (await hasRead(admin, group, topology.readings.name, to))
          return (Date.now() - scheduleEnd) / 1_000;
        if (Date.now() > deadline) return null;
      }
    };
    let windowsAfter: number | null = null;
    let archiveAfter: number | null = null;
    if (has('windows')) {
      onStage('Waiting for the windows');
      windowsAfter = await settled(topology.groups.aggregator, 0);
      await probes?.finish(config.aggregator.idleTimeout + PROBE_SLACK_MS);
      if (windowsAfter === null)
        notes.push(`The aggregator was not done ${settleMs / 1_000} s after the run.`);
    }
    const processes = watch?.stop() ?? [];
    const found: Partial<Record<SinkName, SinkReport>> = {};
    if (rabbit !== undefined) {
      onStage('Waiting for RabbitMQ');
      await rabbit.settled(QUIET_MS, settleMs);
      found.rabbitmq = rabbit.report(devices);
    }
    let inKafka: Tally | undefined;
    if (has('kafka')) {
      onStage('Reading the log');
      const { report, tally } = await readKafka(readings, from, to, register, devices);
      found.kafka = report;
      inKafka = tally;
    }
    const { byReason, late } = usesLog
      ? await readLetters(letters, lettersFrom, register, sites)
      : { byReason: {}, late: new Tally(register) };
    if (has('windows')) {
      onStage('Counting the windows');
      found.windows = await readWindows(database, register, devices, metricsOf, { kafka: inKafka, late });
    }
    if (has('archive')) {
      onStage('Waiting for the archive');
      archiveAfter = await settled(topology.groups.archiver, config.archiver.objectAge);
      if (archiveAfter === null) notes.push('The archiver was not done in time.');
      onStage('Reading the archive');
      found.archive = await readArchive(archive, from, to, sent.startAt, register, devices);
    }
    if (probes?.socketTrouble != null) notes.push(`WebSocket: ${probes.socketTrouble}.`);
    for (const [name, { incomplete }] of Object.entries(found))
      if (incomplete !== null) notes.push(`${name}: ${incomplete}.`);
    return reportOf({
      options,
      sent,
      found,
      byReason,
      probes,
      rabbit,
      processes,
      windowsAfter,
      archiveAfter,
      notes,
    });
  } finally {
    await Promise.allSettled(closers.map(async (close) => close()));
  }
}

const NOWHERE: Offsets = new Map();
/** Beyond the time after which the windows of silent devices close. */
const PROBE_SLACK_MS = 10_000;

/** Whether the stamps of a class tell when its readings were meant to leave. */
const isPunctual = ({ clock, late, outOfOrder, offline, flapping, storms }: DeviceClass): boolean =>
  clock === undefined &&
  late === undefined &&
  outOfOrder === undefined &&
  offline.length === 0 &&
  flapping.length === 0 &&
  storms.every(({ away }) => away === 0);

/** Where the log ends when nothing of this run comes any more: edges forward what they have acknowledged. */
async function untilForwarded(
  readings: LogReader,
  { settleMs }: FleetRunOptions,
  endedAt: number,
): Promise<Offsets> {
  let before = endsOf(await readings.ends());
  for (let quietSince = Date.now(); ; ) {
    await delay(POLL_MS);
    const now = endsOf(await readings.ends());
    if ([...now].some(([partition, end]) => end !== before.get(partition))) quietSince = Date.now();
    before = now;
    if (Date.now() - quietSince > QUIET_MS || Date.now() - endedAt > settleMs) return now;
  }
}

async function hasRead(admin: Admin, group: string, topic: string, to: Offsets): Promise<boolean> {
  const places = await admin.groupLag(group, topic);
  const committed = new Map(places.map((one) => [one.partition, one]));
  return [...to].every(([partition, end]) => {
    const place = committed.get(partition);
    return place !== undefined && (place.committed ?? place.start) >= end;
  });
}

interface Measured {
  readonly options: FleetRunOptions;
  readonly sent: SentFleet;
  readonly found: FleetReport['sinks'];
  readonly byReason: Readonly<Record<string, number>>;
  readonly probes: ProbeWatch | undefined;
  readonly rabbit: RabbitSink | undefined;
  readonly processes: readonly ProcessReport[];
  readonly windowsAfter: number | null;
  readonly archiveAfter: number | null;
  readonly notes: readonly string[];
}

function reportOf(all: Measured): Omit<FleetReport, 'thresholds'> {
  const { options, sent, found, probes, rabbit } = all;
  const { scenario, place } = options;
  const { counts, acks, devices } = sent;
  const classes = classesOf(scenario);
  /** Of a class and a phase; undefined: of all. */
  const ackOf = (className: string | undefined, phase: string | undefined): Latency | null => {
    const merged = new Histogram();
    for (const [key, histogram] of acks) {
      const [name, at] = key.split('/');
      if ((className ?? name) === name && (phase ?? at) === at) merged.merge(histogram);
    }
    return merged.latency;
  };
  const qos = new Map(classes.map((one) => [one.name, one.qos]));
  const unacknowledged = devices.reduce(
    (sum, { className, sent: put, acknowledged }) =>
      sum + (qos.get(className) === 0 ? 0 : put.count - acknowledged.count),
    0,
  );
  const lost = Object.values(found).map((sink) => sink.lost);
  const from = scenario.warmUp < scenario.duration ? scenario.warmUp : 0;
  const pace = paceBetween(sent.course, from, scenario.duration);
  return {
    version: 1,
    scenario: scenario.name,
    about: scenario.about,
    seed: scenario.seed,
    startedAt: new Date(sent.startAt).toISOString(),
    machine: {
      cpus: `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown'}`,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      node: process.version,
    },
    targets: place.targets.map(({ host, port }) => `${host}:${port}`),
    site: place.site,
    workers: place.workers,
    durationS: scenario.duration / 1_000,
    seconds: sent.seconds,
    interrupted: sent.interrupted,
    devices: devices.length,
    connections: connectionCount(scenario),
    offeredPerSecond: offeredBetween(scenario, from, scenario.duration),
    sentPerSecond: pace.sent,
    acknowledgedPerSecond: pace.acknowledged,
    carriedPerSecond:
      all.windowsAfter === null
        ? null
        : counts.acknowledged / (Math.min(scenario.duration / 1_000, sent.seconds) + all.windowsAfter),
    counts: {
      scheduled: counts.sent + counts.malformed + counts.oversized + counts.unsent,
      sent: counts.sent,
      acknowledged: counts.acknowledged,
      unacknowledged,
      unsent: counts.unsent,
      sentLate: counts.sentLate,
      sentTwice: counts.sentTwice,
      resent: counts.resent,
      malformed: counts.malformed,
      oversized: counts.oversized,
      dialed: counts.dialed,
      failedDials: counts.failedDials,
      refused: counts.refused,
      reconnects: counts.reconnects,
    },
    lost: lost.length === 0 ? null : Math.max(...lost),
    sinks: found,
    deadLetters: all.byReason,
    ackMs: ackOf(undefined, undefined),
    connectMs: sent.connect.latency,
    slipMs: sent.slip.latency,
    freshMs: {
      endToEnd: probes?.freshness.endToEnd.latency ?? null,
      window: probes?.freshness.window.latency ?? null,
      beyond: probes?.freshness.beyond.latency ?? null,
      websocket: probes?.freshness.websocket.latency ?? null,
      normal: rabbit?.latency.normal.latency ?? null,
      critical: rabbit?.latency.critical.latency ?? null,
    },
    probes: {
      missingWindows: probes?.missing.windows ?? 0,
      missingWebsocket: probes?.missing.websocket ?? 0,
    },
    classes: classes.map(({ name, devices: count }) => ({
      name,
      devices: count,
      acknowledged: sent.acknowledgedByClass.get(name) ?? 0,
      ackMs: ackOf(name, undefined),
    })),
    phases: scenario.phases.map(({ name }) => ({
      name,
      ackMs: ackOf(undefined, name),
      classes: classes.map((one) => ({ name: one.name, ackMs: ackOf(one.name, name) })),
    })),
    settle: { windows: all.windowsAfter, archive: all.archiveAfter },
    senderCpuSeconds: sent.cpuSeconds,
    processes: all.processes,
    course: sent.course.map((second) => ({
      ...second,
      offeredPerSecond: offeredAt(scenario, second.at * 1_000),
    })),
    notes: all.notes,
  };
}
