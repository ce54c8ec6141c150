import type { DeadLetterReason } from '@weir/flow';
import { isName, LIMITS, type Reading, type Refusal } from './reading.ts';

export interface Interpretation {
  readonly readings: readonly Reading[];
  /** Elements that are not readings, by index; empty for a good payload. */
  readonly refusals: readonly Refusal[];
}
export interface InterpretContext {
  /** The metric named by the topic; the payload may then hold one value only. */
  readonly metric?: string | undefined;
  /** Arrival at the edge, epoch milliseconds. */
  readonly at: number;
  /** Indexes of an array payload that the edge refused. */
  readonly skip?: readonly number[] | undefined;
  /** For stamps without a zone, which are refused otherwise. */
  readonly utcOffset?: UtcOffset | AskOffset | undefined;
}
/** Minutes that local time is ahead of UTC: one for all stamps without a zone, or one for each element of an array payload. */
export type UtcOffset = number | readonly number[];
/** The edge asks the zone of the site. `local`: the stamp read as UTC, epoch milliseconds; `index`: of its element. */
export type AskOffset = (local: number, index: number) => number;

/** Metric of a value that neither topic nor payload names. */
export const DEFAULT_METRIC = 'value';
const CLOUD_EVENTS_VERSION = '1.0';
// RFC 3339 demands the zone: a stamp without one means a different instant at every site.
const STAMP = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})?$/;
const ZONE = 8;
/** No zone was ever further from UTC. */
const MAX_OFFSET_MINUTES = 18 * 60;

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

class Refused extends Error {
  readonly reason: DeadLetterReason;
  constructor(reason: DeadLetterReason, message: string) {
    super(message);
    this.reason = reason;
  }
}

function parseTs(raw: unknown, context: InterpretContext, index: number): number {
  if (raw === undefined || raw === null) return context.at;
  let ts: number;
  if (typeof raw === 'number') ts = Math.floor(raw);
  else if (typeof raw === 'string') ts = parseStamp(raw, context, index);
  else throw new Refused('schema', `ts must be a number or a text, not ${kind(raw)}`);
  if (!(ts >= LIMITS.minTs && ts <= LIMITS.maxTs)) {
    throw new Refused('range', `ts ${String(raw)} is not a time since 2000 in epoch milliseconds`);
  }
  return ts;
}

/** Epoch milliseconds; NaN for a day or a time that does not exist. */
function parseStamp(raw: string, { utcOffset }: InterpretContext, index: number): number {
  const match = STAMP.exec(raw);
  if (match === null) {
    throw new Refused('schema', `ts "${raw.slice(0, 64)}" is neither epoch milliseconds nor RFC 3339`);
  }
  // Date.parse rolls 31 February over into March; the standard does not know that day.
  const day = new Date(Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3]))).getUTCDate();
  if (day !== Number(match[3])) return Number.NaN;
  const text = raw.toUpperCase().replace(' ', 'T');
  if (match[ZONE] !== undefined) return Math.floor(Date.parse(text));
  const local = Math.floor(Date.parse(`${text}Z`));
  if (Number.isNaN(local)) return local;
  const minutes =
    typeof utcOffset === 'function'
      ? utcOffset(local, index)
      : typeof utcOffset === 'number'
        ? utcOffset
        : utcOffset?.[index];
  if (!Number.isInteger(minutes) || Math.abs(minutes as number) > MAX_OFFSET_MINUTES) {
    throw new Refused(
      'schema',
      `ts "${raw.slice(0, 64)}" has no zone: send it with Z or an offset such as +01:00, or name the zone of the site in edge.timeZones`,
    );
  }
  return local - (minutes as number) * 60_000;
}

function parseSeq(raw: unknown): number | undefined {
  if (raw === undefined || raw === null) return undefined;
  if (typeof raw !== 'number') throw new Refused('schema', `seq must be a whole number, not ${kind(raw)}`);
  if (!Number.isSafeInteger(raw) || raw < 0)
    throw new Refused('range', `seq ${raw} is not a whole number from 0 to 2^53 - 1`);
  return raw;
}

function parseValue(raw: unknown, metric: string): number {
  if (typeof raw !== 'number') throw new Refused('schema', `${metric} must be a number, not ${kind(raw)}`);
  if (!Number.isFinite(raw)) throw new Refused('range', `${metric} is too large for a 64-bit float`);
  return raw;
}

function parseUnit(raw: unknown): string | undefined {
  if (raw === undefined || raw === null) return undefined;
  if (typeof raw !== 'string') throw new Refused('schema', `unit must be a text, not ${kind(raw)}`);
  if (!raw.isWellFormed() || Buffer.byteLength(raw) > LIMITS.unitBytes) {
    throw new Refused('range', `unit is longer than ${LIMITS.unitBytes} bytes or not valid Unicode`);
  }
  return raw;
}

function kind(value: unknown): string {
  return value === null
    ? 'null'
    : Array.isArray(value)
      ? 'an array'
      : value === undefined
        ? 'missing'
        : `a ${typeof value}`;
}

function interpretObject(fields: Fields, context: InterpretContext, index: number, out: Reading[]): void {
  if (fields.specversion !== undefined) {
    interpretCloudEvent(fields, context, index, out);
    return;
  }
  const ts = parseTs(fields.ts, context, index);
  const stamped = fields.ts !== undefined && fields.ts !== null;
  const seq = parseSeq(fields.seq);
  if (fields.values === undefined) {
    const metric = context.metric ?? DEFAULT_METRIC;
    out.push({
      metric,
      ts,
      stamped,
      seq,
      value: parseValue(fields.value, 'value'),
      unit: parseUnit(fields.unit),
    });
    return;
  }
  if (context.metric !== undefined)
    throw new Refused('schema', 'a topic that names a metric takes "value", not "values"');
  if (fields.value !== undefined)
    throw new Refused('schema', 'a reading has either "value" or "values", not both');
  if (!isFields(fields.values))
    throw new Refused('schema', `values must be an object, not ${kind(fields.values)}`);
  const metrics = Object.keys(fields.values);
  if (metrics.length === 0) throw new Refused('schema', 'values is empty');
  const first = out.length;
  try {
    for (const metric of metrics) {
      if (!isName(metric, LIMITS.metricBytes))
        throw new Refused('schema', `"${metric.slice(0, 64)}" cannot be the name of a metric`);
      out.push({
        metric,
        ts,
        stamped,
        seq,
        value: parseValue(fields.values[metric], metric),
        unit: undefined,
      });
    }
  } catch (error) {
    out.length = first; // an element is a reading as a whole or not at all
    throw error;
  }
}

/** CloudEvents 1.0.2, structured mode: the reading is `data`; `time` stamps it when `data` has no `ts`. */
function interpretCloudEvent(event: Fields, context: InterpretContext, index: number, out: Reading[]): void {
  if (event.specversion !== CLOUD_EVENTS_VERSION) throw new Refused('schema', 'specversion must be "1.0"');
  for (const attribute of ['id', 'source', 'type']) {
    if (typeof event[attribute] !== 'string' || event[attribute] === '') {
      throw new Refused('schema', `a CloudEvent needs the attribute ${attribute}, a non-empty text`);
    }
  }
  const data = typeof event.data === 'number' ? { value: event.data } : event.data;
  if (!isFields(data) || data.specversion !== undefined) {
    throw new Refused('schema', `data of a CloudEvent must be a reading, not ${kind(event.data)}`);
  }
  interpretObject(
    data.ts === undefined && event.time !== undefined ? { ...data, ts: event.time } : data,
    context,
    index,
    out,
  );
}

function interpretElement(element: unknown, context: InterpretContext, index: number, out: Reading[]): void {
  if (typeof element === 'number') {
    const metric = context.metric ?? DEFAULT_METRIC;
    out.push({
      metric,
      ts: context.at,
      stamped: false,
      seq: undefined,
      value: parseValue(element, 'value'),
      unit: undefined,
    });
  } else if (isFields(element)) {
    interpretObject(element, context, index, out);
  } else {
    throw new Refused('schema', `a reading is a JSON object or a number, not ${kind(element)}`);
  }
}

/**
 * What a parsed payload says, in any of the accepted forms. Pure: edge, consumers, audit and rebuild get the same
 * readings from the same envelope. Never throws for bad input.
 */
export function interpret(payload: unknown, context: InterpretContext): Interpretation {
  const readings: Reading[] = [];
  const refusals: Refusal[] = [];
  const elements: readonly unknown[] = Array.isArray(payload) ? payload : [payload];
  if (elements.length === 0)
    return { readings, refusals: [{ index: 0, reason: 'schema', message: 'the array is empty' }] };
  for (let index = 0; index < elements.length; index++) {
    if (context.skip?.includes(index)) continue;
    try {
      interpretElement(elements[index], context, index, readings);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      refusals.push({ index, reason: error.reason, message: error.message });
    }
  }
  return { readings, refusals };
}
