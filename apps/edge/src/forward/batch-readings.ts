import type { Config } from '@weir/config';
import type { OutgoingMessage } from '@weir/connect-rabbitmq';
import { errorMessage } from '@weir/flow';
import { decodeEnvelope, type Envelope, type Reading, readingsOf } from '@weir/reading';
import { EXCHANGES, type ReadingClass, telemetryKey } from '@weir/topology';
import { type DerivedMetric, deriving } from '@weir/windows';
import { type ClassRules, classOf, classRules, singleReadings } from '../classes.ts';
import { parseEventBody, type SpoolRecord } from '../spool/index.ts';

/** What one round of records becomes in RabbitMQ. */
export interface RabbitmqRound {
  readonly messages: readonly OutgoingMessage[];
  /** Readings in the messages that devices sent; derived ones come on top. */
  readonly readings: number;
  /** Records that this version of Weir cannot decode; Kafka has them all the same. */
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
  readonly lines: string[];
}

/** The batches of one site, by metric. */
type Metrics = Map<string, Batch>;

/** One line of a micro-batch. */
export function readingLine(envelope: Envelope, reading: Reading): string {
  const seq = reading.seq === undefined ? '' : `,"seq":${reading.seq}`;
  const unit = reading.unit === undefined ? '' : `,"unit":${JSON.stringify(reading.unit)}`;
  return `{"device":"${envelope.device}","ts":${reading.ts}${seq},"value":${reading.value}${unit},"at":${envelope.at}}\n`;
}

export interface RoutingSettings
  extends Pick<Config['edge']['forward'], 'classes' | 'criticalMetrics' | 'perReading'> {
  /** Topic template of readings. */
  readonly telemetryTopic: string;
}

const KNOWN_PLACES = 10_000;

/** The class of a reading; the doors have found out whether any reading of a publish is critical. */
function readingClasses(settings: RoutingSettings, derived: readonly DerivedMetric[]) {
  const isRuled = settings.classes.length > 0 || settings.criticalMetrics !== '';
  const rulesOf = classRules(settings, settings.telemetryTopic);
  const made = new Set(isRuled ? derived.map(({ metric }) => metric) : []);
  const known = new Map<string, ClassRules>();
  return (envelope: Envelope, reading: Reading): ReadingClass => {
    // What was derived has not been at the doors.
    if (envelope.class !== 'critical' && (made.size === 0 || !made.has(reading.metric))) return 'normal';
    // Rules that are gone said so when it came.
    if (!isRuled) return 'critical';
    const place = `${envelope.site}/${envelope.device}/${envelope.metric ?? ''}`;
    let rules = known.get(place);
    if (rules === undefined && !known.has(place)) {
      if (known.size >= KNOWN_PLACES) known.clear();
      rules = rulesOf(envelope);
      known.set(place, rules);
    }
    return classOf(rules, reading.metric, reading.value);
  };
}

/**
 * Micro-batches: the readings of a round that share a routing key travel in one message, events in one each, readings
 * of `perReading` too. Derived metrics are added, for rules and the live feed.
 */
export function batchReadings(settings: RoutingSettings, derived: readonly DerivedMetric[] = []) {
  const classify = readingClasses(settings, derived);
  const isSingle = singleReadings(settings.perReading);
  const derive = deriving(derived);
  return function batchReadings(records: readonly SpoolRecord[]): RabbitmqRound {
    // Nested by class, site and metric: a routing key is built once a batch, not once a reading.
    const batches = { normal: new Map<string, Metrics>(), critical: new Map<string, Metrics>() };
    const made: Batch[] = [];
    const events: OutgoingMessage[] = [];
    const undecodable: RabbitmqRound['undecodable'][number][] = [];
    let readings = 0;
    const add = (envelope: Envelope, reading: Reading): void => {
      const { site } = envelope;
      const { metric } = reading;
      const readingClass = classify(envelope, reading);
      if (isSingle?.(site, envelope.device, metric) === true) {
        const { edge, device } = envelope;
        made.push({ site, metric, readingClass, edge, device, lines: [readingLine(envelope, reading)] });
        return;
      }
      let metrics = batches[readingClass].get(site);
      if (metrics === undefined) {
        metrics = new Map();
        batches[readingClass].set(site, metrics);
      }
      let batch = metrics.get(metric);
      if (batch === undefined) {
        batch = { site, metric, readingClass, edge: envelope.edge, lines: [] };
        metrics.set(metric, batch);
        made.push(batch);
      }
      batch.lines.push(readingLine(envelope, reading));
    };
    for (const { kind, body, n, count } of records) {
      if (kind === 'dead-letter') continue;
      try {
        if (kind === 'event') {
          events.push(eventMessage(body));
          continue;
        }
        const envelope = decodeEnvelope(body.toString('utf8'));
        const sent = readingsOf(envelope);
        for (const reading of derive(envelope, sent)) add(envelope, reading);
        readings += sent.length;
      } catch (error) {
        undecodable.push({ n, count, why: errorMessage(error) });
      }
    }
    return { messages: [...made.map(telemetryMessage), ...events], readings, undecodable };
  };
}

function telemetryMessage({ site, metric, readingClass, edge, device, lines }: Batch): OutgoingMessage {
  return {
    exchange: EXCHANGES.telemetry.name,
    key: telemetryKey(readingClass, site, metric, device),
    body: Buffer.from(lines.join('')),
    headers: { site, metric, class: readingClass, count: lines.length, edge },
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
