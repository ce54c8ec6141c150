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

/** Rules for the readings of a line, and for those derived from it; the doors know whether one of it is critical. */
function rulesOfLines(settings: RoutingSettings, hasDerived: boolean) {
  const rulesOf = classRules(settings, settings.telemetryTopic);
  const known = new Map<string, ClassRules>();
  return (envelope: Envelope): ClassRules => {
    // What was derived has not been at the doors.
    if (envelope.class !== 'critical' && !hasDerived) return undefined;
    const place = `${envelope.site}/${envelope.device}/${envelope.metric ?? ''}`;
    let rules = known.get(place);
    if (rules === undefined && !known.has(place)) {
      if (known.size >= KNOWN_PLACES) known.clear();
      rules = rulesOf(envelope);
      known.set(place, rules);
    }
    return rules;
  };
}

/**
 * Micro-batches: the readings of a round that share a routing key travel in one message, events in one each, readings
 * of `perReading` too. Derived metrics are added, for rules and the live feed.
 */
export function batchReadings(settings: RoutingSettings, derived: readonly DerivedMetric[] = []) {
  const isRuled = settings.classes.length > 0 || settings.criticalMetrics !== '';
  const made = new Set(derived.map(({ metric }) => metric));
  const rulesOf = rulesOfLines(settings, made.size > 0);
  const classify = (envelope: Envelope, rules: ClassRules, { metric, value }: Reading): ReadingClass => {
    if (envelope.class !== 'critical' && !(isRuled && made.has(metric))) return 'normal';
    // Without any rules now: those that are gone said so when it came.
    return isRuled ? classOf(rules, metric, value) : 'critical';
  };
  const isSingle = singleReadings(settings.perReading);
  const derive = deriving(derived);
  return function batchReadings(records: readonly SpoolRecord[]): RabbitmqRound {
    // Nested by class, site and metric: a routing key is built once a batch, not once a reading.
    const batches = { normal: new Map<string, Metrics>(), critical: new Map<string, Metrics>() };
    const opened: Batch[] = [];
    const events: OutgoingMessage[] = [];
    const undecodable: RabbitmqRound['undecodable'][number][] = [];
    let readings = 0;
    const add = (envelope: Envelope, rules: ClassRules, reading: Reading): void => {
      const { site } = envelope;
      const { metric } = reading;
      const readingClass = classify(envelope, rules, reading);
      if (isSingle?.(site, envelope.device, metric) === true) {
        const { edge, device } = envelope;
        opened.push({ site, metric, readingClass, edge, device, lines: [readingLine(envelope, reading)] });
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
        opened.push(batch);
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
        const rules = isRuled ? rulesOf(envelope) : undefined;
        for (const reading of derive(envelope, sent)) add(envelope, rules, reading);
        readings += sent.length;
      } catch (error) {
        undecodable.push({ n, count, why: errorMessage(error) });
      }
    }
    return { messages: [...opened.map(telemetryMessage), ...events], readings, undecodable };
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
