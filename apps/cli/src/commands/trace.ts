import { openAdmin, openLogReader } from '@weir/connect-kafka';
import { openArchive } from '@weir/connect-minio';
import { openDatabase } from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import type { Reading } from '@weir/reading';
import { archiveBucket, kafkaTopology } from '@weir/topology';
import { Command } from 'commander';
import { durationMs } from '../duration.ts';
import { bytes, number, Output, type Terminal, table } from '../output.ts';
import { Progress } from '../progress.ts';
import { effectiveConfig, quietLogger } from '../settings.ts';
import { find } from '../trace/find.ts';
import { followHops, type Hops } from '../trace/hops.ts';
import { parseTarget, TARGET_FORMS, type Target } from '../trace/target.ts';
import { Effort } from '../trace/wanted.ts';

interface Options {
  readonly search: string;
  readonly data?: string;
  readonly json?: boolean;
}

const iso = (ms: number): string => new Date(ms).toISOString();
/** Time since another one: "+1.204 s". */
const since = (ms: number, from: number): string =>
  `${ms < from ? '−' : '+'}${(Math.abs(ms - from) / 1_000).toFixed(3)} s`;

function meant(target: Target): (reading: Reading) => boolean {
  if (target.kind === 'at') return ({ ts }) => ts === target.ts;
  if (target.kind === 'seq') return ({ seq }) => seq === target.seq;
  return () => false;
}

function readingText({ metric, value, unit, seq, ts, stamped }: Reading): string {
  const number = seq === undefined ? '' : `, seq ${seq}`;
  return `${metric} ${value}${unit === undefined ? '' : ` ${unit}`}${number}, ${iso(ts)}${stamped ? '' : ' (arrival: the device stamps nothing)'}`;
}

const MOST_READINGS = 10;
/** Time for the dead letters of a line that was found. */
const HOPS_MS = 500;

function describe({
  found,
  readings,
  ts,
  archive,
  foldedTo,
  windows,
  letters,
  broughtBack,
  alerts,
  clock,
}: Hops): string {
  const { envelope, partition, offset, line, lines, recordAt } = found;
  const { at, edge, n, via, qos, mid, dup, hlc } = envelope;
  const rows: [string, string][] = [];
  const hop = (name: string, ...texts: string[]): void => {
    for (const [i, text] of texts.entries()) rows.push([i === 0 ? name : '', text]);
  };
  hop(
    'reading',
    `${envelope.site}/${envelope.device}`,
    ...readings.slice(0, MOST_READINGS).map(readingText),
    ...(readings.length > MOST_READINGS ? [`and ${readings.length - MOST_READINGS} more`] : []),
  );
  if (clock !== null)
    hop(
      'clock',
      `of the device minus that of the edge: ${Math.round(clock.offsetMs)} ± ${Math.ceil(clock.errorMs)} ms`,
    );
  const publish = [
    via,
    ...(qos === undefined ? [] : [`QoS ${qos}`]),
    ...(mid === undefined ? [] : [`packet ${mid}`]),
    ...(dup === true ? ['sent again (DUP)'] : []),
    ...(hlc === undefined ? [] : [`hlc ${hlc}`]),
  ];
  hop('edge', `${iso(at)}  ${since(at, ts)}  ${publish.join(', ')}`, `spool position ${edge}:${n}`);
  hop(
    'Kafka',
    `partition ${partition}, offset ${offset}, line ${line} of ${lines}`,
    recordAt === null
      ? 'no longer there: retention has passed it'
      : `${iso(recordAt)}  arrival of the record's first line, ${since(recordAt, at)} to this one`,
  );
  if (archive.object !== null)
    hop(
      'archive',
      `${iso(archive.object.storedAt)}  ${since(archive.object.storedAt, at)}  ${bytes(archive.object.size)}`,
      archive.object.key,
    );
  else if (archive.archived === null) hop('archive', 'unknown: the archiver has not committed anything');
  else
    hop(
      'archive',
      archive.archived
        ? 'archived, in no object of the hours around its time'
        : 'not yet: its object is still open (archiver.objectAge)',
    );
  if (foldedTo === null) hop('windows', 'nobody has folded this partition');
  else if (offset >= foldedTo) hop('windows', `not yet: they are at offset ${foldedTo}`);
  else hop('windows', `contain this partition up to offset ${foldedTo - 1n}`);
  for (const { id, reason, at: buried, message, readings: late, status } of letters) {
    hop(
      'dead letter',
      `${buried.toISOString()}  ${since(buried.getTime(), at)}  ${reason}${late === null ? '' : ` (readings ${late.join(', ')} of the line)`}`,
      `${id}: ${message}`,
      status === null ? 'not in the index yet' : `in the index, ${status}`,
    );
  }
  if (letters.length === 0) hop('dead letter', 'none');
  for (const [index, replay] of broughtBack)
    hop('brought back', `reading ${index}, by the record at ${partition}:${replay}`);
  for (const { rule, metric, severity, state, startedAt, resolvedAt } of alerts) {
    const ended = resolvedAt === null ? '' : ` to ${resolvedAt.toISOString()}`;
    hop('alert', `${rule} on ${metric}: ${severity}, ${state}, from ${startedAt.toISOString()}${ended}`);
  }
  if (alerts.length === 0) hop('alert', 'none');
  const shown = (value: number | null): string => (value === null ? '–' : number(value, 4));
  const right = { align: 'right' } as const;
  const width = Math.max(...rows.map(([name]) => name.length));
  return [
    ...rows.map(([name, text]) => `${name.padEnd(width)}  ${text}`),
    '',
    table(
      [
        { title: 'WINDOW', value: (one) => one.level },
        { title: 'METRIC', value: (one) => one.metric },
        { title: 'START', value: (one) => one.start.toISOString() },
        { title: 'COUNT', value: (one) => one.count, ...right },
        { title: 'MEAN', value: (one) => shown(one.mean), ...right },
        { title: 'MIN', value: (one) => shown(one.min), ...right },
        { title: 'MAX', value: (one) => shown(one.max), ...right },
        { title: 'REVISION', value: (one) => one.revision, ...right },
        {
          title: 'STATE',
          value: (one) => {
            if (one.count === null) return one.expired ? 'expired' : 'no row yet';
            return one.isFinal === null ? '' : one.isFinal ? 'final' : 'open to late readings';
          },
        },
      ],
      windows,
      'The windows hold nothing of this series.',
    ),
  ].join('\n');
}

function jsonOf({
  found,
  readings,
  ts,
  archive,
  foldedTo,
  windows,
  letters,
  broughtBack,
  alerts,
  clock,
}: Hops) {
  const { envelope, partition, offset, line, lines, recordAt } = found;
  const { site, device, edge, n, at, hlc, via, qos, mid, dup } = envelope;
  return {
    site,
    device,
    readings: readings.map((reading) => ({ ...reading, ts: iso(reading.ts) })),
    clock,
    edge: { id: edge, n, at: iso(at), afterReadingMs: at - ts, hlc, via, qos, packet: mid, dup },
    kafka: { partition, offset, line, lines, recordAt: recordAt === null ? null : iso(recordAt) },
    archive: {
      archived: archive.archived,
      key: archive.object?.key ?? null,
      storedAt: archive.object === null ? null : iso(archive.object.storedAt),
    },
    windows: { foldedTo, rows: windows },
    deadLetters: letters,
    broughtBack: [...broughtBack].map(([reading, replay]) => ({ reading, partition, offset: replay })),
    alerts,
  };
}

async function trace(terminal: Terminal, argument: string, options: Options): Promise<void> {
  const began = performance.now();
  const output = new Output(terminal, options.json);
  const target = parseTarget(argument);
  const effort = new Effort(durationMs('--search', options.search));
  const { kafka, timescale, minio, namespace, aggregator } = effectiveConfig(options.data);
  const topology = kafkaTopology(namespace);
  const log = quietLogger();
  const client = {
    brokers: kafka.brokers,
    clientId: 'weir-trace',
    requestTimeoutMs: kafka.requestTimeout,
    log,
  };
  const readings = openLogReader(client, topology.readings.name);
  const letters = openLogReader(client, topology.deadLetters.name);
  const admin = openAdmin(client);
  const archive = openArchive({ ...minio, bucket: archiveBucket(namespace) });
  const database = openDatabase({ url: timescale.url, poolSize: 3, log, name: 'weir-trace' });
  // A line for each step is of use to a person only, and a trace is quick.
  const progress = terminal.err.isTTY === true ? new Progress(terminal) : null;
  progress?.begin('trace', `Looking for ${argument}`);
  try {
    const [found, archived, indexed] = await Promise.all([
      find(target, { log: readings, archive, database }, effort),
      admin.groupLag(topology.groups.archiver, topology.readings.name),
      admin.groupLag(topology.groups.deadLetters, topology.deadLetters.name),
    ]);
    if (found === null) {
      throw new WeirError(
        'WEIR_STATE',
        'data',
        `${argument} was not found. Searched: ${effort.searched.join('; ')}. ` +
          (effort.spent
            ? `The time for it was over: --search 30s looks longer.`
            : 'It may not have arrived yet.'),
      );
    }
    const hops = await followHops(
      found,
      meant(target),
      {
        letters,
        archive,
        database,
        topology,
        archivedTo: archived[found.partition]?.committed ?? null,
        isIndexed: (partition) => indexed[partition]?.lag === 0n,
        allowedLatenessMs: aggregator.allowedLateness,
      },
      new Effort(HOPS_MS),
    );
    const tookMs = Math.round(performance.now() - began);
    output.result({ ...jsonOf(hops), tookMs }, () => describe(hops));
  } finally {
    progress?.close();
    archive.close();
    await Promise.all([readings.close(), letters.close(), admin.close(), database.close()]);
  }
}

export function traceCommand(terminal: Terminal): Command {
  return new Command('trace')
    .description('the way of one reading, hop by hop')
    .argument('<reading>', 'which one; see below')
    .option('--search <duration>', 'how long to look for it', '1200ms')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
A reading is named in one of these forms:
  ${TARGET_FORMS}

Examples:
  $ weir trace plant-1/pump-7
  $ weir trace plant-1/pump-7@2026-01-31T12:00:00.250Z
  $ weir trace 3:1234 --json

Looks in Kafka first, and in the archive when Kafka no longer holds it. Nothing is read from end to end: when the
reading is not found in time, the answer says what was searched.`,
    )
    .action((argument: string, options: Options) => trace(terminal, argument, options));
}
