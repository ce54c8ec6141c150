import type { Figure, Stage, StageState, Status } from '@weir/api';
import { type EdgeNumbers, type NumberName, type Numbers, rateOf } from './numbers.ts';
import type { AppView, Probe } from './probe.ts';
import type { Snapshot } from './snapshot.ts';

export interface Reading {
  /** By the monotonic clock, milliseconds: rates must not change when the wall clock is set. */
  readonly at: number;
  readonly snapshot: Snapshot;
  readonly numbers: Numbers;
  /** Of each edge of the snapshot. */
  readonly edges: readonly EdgeNumbers[];
}

/** The status without what is known from the configuration alone. */
export type Picture = Omit<Status, 'doors'>;

/** Records behind which a consumer counts as degraded. */
const LAG_DEGRADED = 5_000;
/** Seconds for which the archiver may hold a reading; objects are finished after `archiver.objectAge`, 60 s by default. */
const HELD_DEGRADED_S = 180;

const figure = (name: string, value: number | null, unit = ''): Figure => ({ name, value, unit });

interface Verdict {
  readonly state: StageState;
  readonly detail: string;
}
const ok = (detail: string): Verdict => ({ state: 'ok', detail });
const degraded = (detail: string): Verdict => ({ state: 'degraded', detail });
const down = (detail: string): Verdict => ({ state: 'down', detail });

/** The first of the doubts, else `otherwise`. */
function judge(
  probe: Probe<unknown>,
  who: string,
  doubts: readonly (Verdict | false)[],
  otherwise: string,
): Verdict {
  if (!probe.ok) return down(`${who} does not answer: ${probe.why}.`);
  for (const doubt of doubts) if (doubt !== false) return doubt;
  return ok(otherwise);
}

function unready(probe: Probe<AppView>): Verdict | false {
  if (!probe.ok || probe.value.ready) return false;
  return degraded(`Not ready: ${probe.value.missing.join('; ') || 'still starting'}.`);
}

function behind(lag: number | null, what: string): Verdict | false {
  return (
    lag !== null && lag > LAG_DEGRADED && degraded(`${lag.toLocaleString('en-GB')} records behind ${what}.`)
  );
}

/** What the archiver has not read. Its group offset stays behind on purpose until what it holds is an object. */
function unread({ archiveLag, archiveHeld }: Numbers): number | null {
  return archiveLag === null || archiveHeld === null ? null : Math.max(0, archiveLag - archiveHeld);
}

function held({ archiveOldest }: Numbers): Verdict | false {
  return (
    archiveOldest !== null &&
    archiveOldest > HELD_DEGRADED_S &&
    degraded(`Its oldest reading has waited ${Math.round(archiveOldest)} s for its object.`)
  );
}

/** The picture of the pipeline from what its parts said now and the time before. Pure. */
export function drawStatus(now: Reading, before: Reading | null): Picture {
  const { snapshot, numbers } = now;
  const rate = (name: NumberName): number | null => rateOf(name, now, before);
  const edges = drawEdges(now, before);
  const stages = drawStages(snapshot, numbers, edges, rate);
  const deadLetters = numbers.openLetters ?? addKnown(numbers.kafkaDeadLetters, numbers.queueDeadLetters);
  return {
    at: new Date(now.snapshot.at).toISOString(),
    state: worst(stages),
    figures: {
      readingsPerSecond: rate('accepted'),
      acknowledgedPerSecond: rate('acknowledged'),
      acknowledged: numbers.acknowledged,
      windowsPerSecond: rate('windows'),
      windowsWritten: numbers.windows,
      objectsArchived: numbers.objects,
      bytesArchived: numbers.objectBytes,
      lag: numbers.lag,
      archiveLag: numbers.archiveLag,
      deadLetters,
      firingAlerts: numbers.firing,
      connections: numbers.connections,
      liveClients: snapshot.live.clients,
    },
    stages,
    edges,
  };
}

function drawEdges({ at, snapshot, edges, numbers }: Reading, before: Reading | null): Status['edges'] {
  return snapshot.edges.map(({ url, said }, i) => {
    const own = edges[i] as EdgeNumbers;
    const one = before?.edges[i];
    const rate = (name: keyof EdgeNumbers): number | null =>
      before === null || one === undefined
        ? null
        : rateOf(name, { at, numbers, edges: [own] }, { ...before, edges: [one] });
    return {
      url,
      ...judge(
        said,
        snapshot.edges.length === 1 ? 'The edge' : `The edge at ${url}`,
        [
          unready(said),
          own.spoolState === 2 && degraded('The spool is full: devices wait for their acknowledgement.'),
        ],
        'Takes readings in and acknowledges them after the fsync.',
      ),
      readingsPerSecond: rate('accepted'),
      acknowledgedPerSecond: rate('acknowledged'),
      acknowledged: own.acknowledged,
      connections: own.connections,
    };
  });
}

/** One verdict over all edges: as long as one answers, what the others lack is no more than degraded. */
function edgeVerdict(edges: Status['edges']): Verdict {
  const [first] = edges as [Status['edges'][number]];
  const { state, detail } =
    edges.find((edge) => edge.state === 'down') ?? edges.find((edge) => edge.state !== 'ok') ?? first;
  if (state !== 'down' || edges.every((edge) => edge.state === 'down')) return { state, detail };
  return degraded(detail);
}

function drawStages(
  s: Snapshot,
  n: Numbers,
  edges: Status['edges'],
  rate: (name: NumberName) => number | null,
): Stage[] {
  const asksEdge = (verdict: Verdict): Verdict =>
    s.edges.some(({ said }) => said.ok)
      ? verdict
      : { state: 'unknown', detail: 'Only the edge knows, and it does not answer.' };
  const share =
    n.spoolUsed !== null && n.spoolLimit !== null && n.spoolLimit > 0 ? n.spoolUsed / n.spoolLimit : null;
  const stages: (Omit<Stage, 'state' | 'detail'> & { verdict: Verdict })[] = [
    {
      id: 'devices',
      name: 'Devices',
      verdict: asksEdge(
        ok(n.connections === 0 ? 'No device is connected over MQTT.' : 'Connected and publishing.'),
      ),
      rate: rate('accepted'),
      rateUnit: 'readings/s',
      figures: [figure('connected', n.connections)],
    },
    {
      id: 'edge',
      name: 'Edge',
      verdict: edgeVerdict(edges),
      rate: rate('acknowledged'),
      rateUnit: 'acks/s',
      figures: [
        figure('acknowledged', n.acknowledged),
        figure('dead letters', n.edgeBuried),
        figure('dropped', n.dropped),
      ],
    },
    {
      id: 'spool',
      name: 'Spool',
      verdict: asksEdge(spoolVerdict(n, share)),
      rate: rate('toKafka'),
      rateUnit: 'forwarded/s',
      figures: [
        figure('used', n.spoolUsed, 'B'),
        figure('full', share === null ? null : share * 100, '%'),
        figure('waiting for Kafka', n.behindKafka),
        figure('waiting for RabbitMQ', n.behindRabbitmq),
      ],
    },
    {
      id: 'kafka',
      name: 'Kafka',
      verdict: judge(s.kafka, 'Kafka', [], 'Keeps every reading, in order for each device.'),
      rate: rate('kafkaWritten'),
      rateUnit: 'records/s',
      figures: [figure('records', n.kafkaWritten), figure('dead letters', n.kafkaDeadLetters)],
    },
    {
      id: 'aggregator',
      name: 'Aggregator',
      verdict: judge(
        s.aggregator,
        'The aggregator',
        [unready(s.aggregator), behind(n.lag, 'the end of the log')],
        'Folds readings into windows, each exactly once.',
      ),
      rate: rate('folded'),
      rateUnit: 'readings/s',
      figures: [figure('lag', n.lag), figure('duplicates', n.duplicates), figure('late', n.late)],
    },
    {
      id: 'timescale',
      name: 'TimescaleDB',
      verdict: judge(
        s.timescale,
        'The database',
        [s.cache !== 'ready' && degraded('Redis is away: every query goes to the database.')],
        'Holds the windows of six levels.',
      ),
      rate: rate('windows'),
      rateUnit: 'windows/s',
      figures: [figure('windows', n.windows)],
    },
    {
      id: 'archiver',
      name: 'Archiver',
      verdict: judge(
        s.archiver,
        'The archiver',
        [unready(s.archiver), held(n), behind(unread(n), 'the end of the log')],
        'Packs the raw readings into objects.',
      ),
      rate: rate('archived'),
      rateUnit: 'messages/s',
      figures: [figure('in hand', n.archiveHeld), figure('uncommitted', n.archiveLag)],
    },
    {
      id: 'minio',
      name: 'MinIO',
      verdict: judge(s.minio, 'The object store', [], 'Keeps the raw archive.'),
      rate: null,
      rateUnit: '',
      figures: [figure('objects', n.objects), figure('bytes', n.objectBytes, 'B')],
    },
    {
      id: 'rabbitmq',
      name: 'RabbitMQ',
      verdict: judge(
        s.rabbitmq,
        'RabbitMQ',
        [(n.queueDeadLetters ?? 0) > 0 && degraded('Some messages ended in a dead-letter queue.')],
        'Routes telemetry, events and alerts.',
      ),
      rate: rate('toRabbitmq'),
      rateUnit: 'readings/s',
      figures: [figure('queued', n.queued), figure('dead letters', n.queueDeadLetters)],
    },
    {
      id: 'alerter',
      name: 'Alerter',
      verdict: judge(
        s.alerter,
        'The alerter',
        [unready(s.alerter)],
        'Holds every reading against the rules.',
      ),
      rate: rate('evaluated'),
      rateUnit: 'readings/s',
      figures: [figure('firing', n.firing)],
    },
    {
      id: 'live',
      name: 'Live',
      verdict: s.live.connected
        ? ok('Readings reach the open pages as they come in.')
        : down('The live queue is not connected; pages show stored windows only.'),
      rate: rate('delivered'),
      rateUnit: 'readings/s',
      figures: [figure('watching', s.live.clients)],
    },
    {
      id: 'dead-letters',
      name: 'Dead letters',
      verdict: judge(
        s.deadLetters,
        'The app of the dead letters',
        [unready(s.deadLetters)],
        n.openLetters === 0
          ? 'Nothing that failed waits for somebody.'
          : 'Keeps what failed, whatever stage it failed in, until somebody deals with it.',
      ),
      rate: rate('indexed'),
      rateUnit: 'letters/s',
      figures: [
        figure('open', n.openLetters),
        figure('oldest', n.oldestLetter, 's'),
        figure('replays', n.replays),
      ],
    },
  ];
  return stages.map(({ verdict, ...rest }) => ({ ...rest, ...verdict }));
}

function spoolVerdict(n: Numbers, share: number | null): Verdict {
  if (n.spoolState === 2)
    return down('Full: nothing more is acknowledged until a destination takes readings again.');
  const held = [n.kafkaHeld === 2 && 'Kafka', n.rabbitmqHeld === 2 && 'RabbitMQ'].filter(
    (name) => name !== false,
  );
  if (held.length > 0) return degraded(`Keeps what ${held.join(' and ')} cannot take now; nothing is lost.`);
  if (n.spoolState === 1 || (share !== null && share > 0.5)) {
    return degraded('Filling: a destination is slower than the devices.');
  }
  return ok('Durable on disk; empties as the brokers take readings.');
}

function worst(stages: readonly Stage[]): StageState {
  if (stages.some(({ state }) => state === 'down')) return 'down';
  return stages.some(({ state }) => state !== 'ok') ? 'degraded' : 'ok';
}

function addKnown(a: number | null, b: number | null): number | null {
  return a === null && b === null ? null : (a ?? 0) + (b ?? 0);
}
