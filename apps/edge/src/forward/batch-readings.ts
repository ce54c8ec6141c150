import type { Config } from '@weir/config';
import type { OutgoingMessage } from '@weir/connect-rabbitmq';
import { errorMessage } from '@weir/flow';
import {
  ByteWriter,
  decodeEnvelope,
  isName,
  LIMITS,
  type LineHead,
  LineScanner,
  NameTable,
  type Reading,
  readingsOf,
} from '@weir/reading';
import { EXCHANGES, type ReadingClass, telemetryKey } from '@weir/topology';
import { type DerivedMetric, deriving } from '@weir/windows';
import { type ClassRules, classOf, classRules, singleReadings } from '../classes.ts';
import { parseEventBody, type SpoolRecord } from '../spool/index.ts';

/**
 * Who publishes a reading. `critical`: what devices sent and the rules call critical. `normal`: everything else, and
 * the events, which say of the readings before them that they are on their way.
 */
export type Lane = 'normal' | 'critical';

/** What one round of records becomes in RabbitMQ on one lane. */
export interface RabbitmqRound {
  readonly messages: readonly OutgoingMessage[];
  /** Readings in the messages that devices sent; derived ones come on top. */
  readonly readings: number;
  /** Records that this version of Weir cannot decode; Kafka has them all the same. The normal lane tells of them. */
  readonly undecodable: readonly { readonly n: number; readonly count: number; readonly why: string }[];
}

interface Batch {
  readonly site: string;
  readonly metric: string;
  readonly readingClass: ReadingClass;
  /** `<edge id>/<spool id>`; all records of a spool have the same. */
  readonly edge: string;
  /** Of a reading that travels alone. */
  readonly device?: string;
  readonly lines: ByteWriter;
  count: number;
}

/** The batches of one site, by metric. */
type Metrics = Map<string, Batch>;

// Readings of one unit follow each other.
let lastUnit = '';
let lastUnitText = '""';

/** Adds one line to a micro-batch. */
function addLine(batch: Batch, { device, at }: LineHead, { ts, seq, value, unit }: Reading): void {
  const { lines } = batch;
  lines.text('{"device":"');
  lines.text(device);
  lines.text('","ts":');
  lines.whole(ts);
  if (seq !== undefined) {
    lines.text(',"seq":');
    lines.whole(seq);
  }
  lines.text(',"value":');
  lines.text(String(value));
  if (unit !== undefined) {
    lines.text(',"unit":');
    if (unit !== lastUnit) {
      lastUnit = unit;
      lastUnitText = JSON.stringify(unit);
    }
    lines.text(lastUnitText);
  }
  lines.text(',"at":');
  lines.whole(at);
  lines.text('}\n');
  batch.count++;
}

/** Names of devices that stay known: half a megabyte. */
const DEVICES = 1 << 16;

/** Reads lines; what it says of one is valid until the next. */
function lineReader(): (line: Buffer) => { readonly head: LineHead; readonly readings: readonly Reading[] } {
  const devices = new NameTable((name) => name, DEVICES);
  const scanner = new LineScanner({
    site: (name) => (isName(name, LIMITS.siteBytes) ? name : undefined),
    metric: (name) => (isName(name, LIMITS.metricBytes) ? name : undefined),
    device: (_site, bytes, from, to, hash) => devices.name(bytes, from, to, hash) ?? '',
  });
  return (line) => {
    if (scanner.scan(line, 0) >= 0) return scanner;
    const envelope = decodeEnvelope(line.toString('utf8'));
    return { head: envelope, readings: readingsOf(envelope) };
  };
}

export interface RoutingSettings
  extends Pick<Config['edge']['forward'], 'classes' | 'criticalMetrics' | 'perReading'> {
  /** Topic template of readings. */
  readonly telemetryTopic: string;
}

const KNOWN_PLACES = 10_000;

/** Rules for the readings of a line, and for those derived from it; the doors know whether one of it is critical. */
function rulesOfLines(settings: RoutingSettings, hasDerived: boolean) {
  const rulesOf = classRules(settings, settings.telemetryTopic);
  const known = new Map<string, ClassRules>();
  return (head: LineHead, isCritical: boolean): ClassRules => {
    // What was derived has not been at the doors.
    if (!isCritical && !hasDerived) return undefined;
    const place = `${head.site}/${head.device}/${head.metric ?? ''}`;
    let rules = known.get(place);
    if (rules === undefined && !known.has(place)) {
      if (known.size >= KNOWN_PLACES) known.clear();
      rules = rulesOf(head);
      known.set(place, rules);
    }
    return rules;
  };
}

/**
 * Micro-batches: the readings of a round that share a routing key travel in one message, events in one each, readings
 * of `perReading` too. Derived metrics are added, for rules and the live feed.
 */
export function batchReadings(settings: RoutingSettings, derived: readonly DerivedMetric[], lane: Lane) {
  const isRuled = settings.classes.length > 0 || settings.criticalMetrics !== '';
  const made = new Set(derived.map(({ metric }) => metric));
  const rulesOf = rulesOfLines(settings, made.size > 0);
  const classify = (isCritical: boolean, rules: ClassRules, { metric, value }: Reading): ReadingClass => {
    if (!isCritical && !(isRuled && made.has(metric))) return 'normal';
    // Without any rules now: those that are gone said so when it came.
    return isRuled ? classOf(rules, metric, value) : 'critical';
  };
  const isSingle = singleReadings(settings.perReading);
  const derive = deriving(derived);
  const read = lineReader();
  return function batchReadings(records: readonly SpoolRecord[]): RabbitmqRound {
    // Nested by class, site and metric: a routing key is built once a batch, not once a reading.
    const batches = { normal: new Map<string, Metrics>(), critical: new Map<string, Metrics>() };
    const opened: Batch[] = [];
    const events: OutgoingMessage[] = [];
    const undecodable: RabbitmqRound['undecodable'][number][] = [];
    let readings = 0;
    const batchOf = (head: LineHead, readingClass: ReadingClass, metric: string): Batch => {
      const { site, device, edge } = head;
      const isAlone = isSingle?.(site, device, metric) === true;
      let metrics = batches[readingClass].get(site);
      if (metrics === undefined) {
        metrics = new Map();
        batches[readingClass].set(site, metrics);
      }
      let batch = isAlone ? undefined : metrics.get(metric);
      if (batch === undefined) {
        const lines = new ByteWriter();
        batch = { site, metric, readingClass, edge, lines, count: 0, ...(isAlone ? { device } : {}) };
        opened.push(batch);
        if (!isAlone) metrics.set(metric, batch);
      }
      return batch;
    };
    const isCriticalLane = lane === 'critical';
    for (const { kind, critical, body, n, count } of records) {
      if (kind === 'dead-letter' || (isCriticalLane && !(critical && kind === 'reading'))) continue;
      try {
        if (kind === 'event') {
          events.push(eventMessage(body));
          continue;
        }
        const { head, readings: sent } = read(body);
        const rules = isRuled ? rulesOf(head, critical) : undefined;
        const all = isCriticalLane ? sent : derive(head, sent);
        for (let i = 0; i < all.length; i++) {
          const reading = all[i] as Reading;
          const readingClass = classify(critical, rules, reading);
          // Derived readings follow the ones that were sent.
          const isSent = i < sent.length;
          if ((isSent && critical && readingClass === 'critical') !== isCriticalLane) continue;
          addLine(batchOf(head, readingClass, reading.metric), head, reading);
          if (isSent) readings++;
        }
      } catch (error) {
        if (!isCriticalLane) undecodable.push({ n, count, why: errorMessage(error) });
      }
    }
    return { messages: [...opened.map(telemetryMessage), ...events], readings, undecodable };
  };
}

function telemetryMessage({
  site,
  metric,
  readingClass,
  edge,
  device,
  lines,
  count,
}: Batch): OutgoingMessage {
  return {
    exchange: EXCHANGES.telemetry.name,
    key: telemetryKey(readingClass, site, metric, device),
    body: lines.bytes,
    headers: { site, metric, class: readingClass, count, edge },
    contentType: 'application/x-ndjson',
  };
}

function eventMessage(body: Buffer): OutgoingMessage {
  const event = parseEventBody(body);
  return {
    exchange: EXCHANGES.events.name,
    key: event.key,
    body: Buffer.from(JSON.stringify(event.body)),
    contentType: 'application/json',
  };
}
