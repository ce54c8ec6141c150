import type { DeadLetterReason } from '@weir/flow';
import {
  type AskOffset,
  interpret,
  PayloadError,
  parsePayload,
  type Reading,
  type Refusal,
  type UtcOffset,
} from '@weir/reading';
import { type ClassRules, classOf } from '../classes.ts';
import { type LocalZone, ReadOffsets } from '../clock/local-zone.ts';
import { splitElements } from './split-elements.ts';

/** A part of a payload, or the whole of it, that is not a reading. */
export interface RefusedBytes {
  readonly reason: DeadLetterReason;
  readonly stage: string;
  readonly message: string;
  /** As the device sent them. */
  readonly bytes: Buffer;
  /** Index in the array payload; undefined: the whole payload. */
  readonly index?: number;
}

export interface DecodedPayload {
  /** Readings to accept; 0 when the whole payload is refused. */
  readonly count: number;
  readonly critical: boolean;
  /** How stamps without a zone were read. */
  readonly utcOffset: UtcOffset | undefined;
  readonly refused: readonly RefusedBytes[];
}

export interface DecodeOptions {
  /** How far a device time may lie ahead of the arrival, milliseconds. */
  readonly maxFutureMs: number;
  readonly maxReadings: number;
}

/** What the topic says of its readings. */
interface Place {
  /** Of the site, for stamps without a zone. */
  readonly zone?: LocalZone | undefined;
  readonly classes?: ClassRules;
}

const STAGE = 'decode-payload';
const NONE: readonly RefusedBytes[] = [];

export type DecodePayload = ReturnType<typeof decodePayload>;

/** Payload → how many readings it holds and which parts of it hold none. Never throws for bad input. */
export function decodePayload(options: DecodeOptions) {
  const { maxFutureMs, maxReadings } = options;
  const whole = (reason: DeadLetterReason, message: string, bytes: Buffer): DecodedPayload => ({
    count: 0,
    critical: false,
    utcOffset: undefined,
    refused: [{ reason, stage: STAGE, message, bytes }],
  });
  const isEarly = (readings: readonly Reading[], at: number): boolean => {
    for (const reading of readings) if (reading.ts > at + maxFutureMs) return true;
    return false;
  };
  const skew = (reading: Reading | undefined, at: number): string =>
    `ts ${reading?.ts} lies ${Math.round(((reading?.ts ?? at) - at) / 1_000)} s ahead of the arrival; at most ${maxFutureMs / 1_000} s are allowed`;

  /** Elements of an array whose device time lies too far ahead; `interpret` does not tell which reading came from which. */
  function earlyElements(
    elements: readonly unknown[],
    metric: string | undefined,
    at: number,
    ask: AskOffset | undefined,
  ): Refusal[] {
    const found: Refusal[] = [];
    for (let index = 0; index < elements.length; index++) {
      const utcOffset = ask && ((local: number): number => ask(local, index));
      const { readings } = interpret([elements[index]], { metric, at, utcOffset });
      const early = readings.find((r) => r.ts > at + maxFutureMs);
      if (early !== undefined) found.push({ index, reason: 'clock-skew', message: skew(early, at) });
    }
    return found;
  }

  return function decodePayload(
    payload: Buffer,
    metric: string | undefined,
    at: number,
    { zone, classes }: Place = {},
  ): DecodedPayload {
    let parsed: unknown;
    try {
      parsed = parsePayload(payload);
    } catch (error) {
      if (!(error instanceof PayloadError)) throw error;
      return whole('decode', error.message, payload);
    }
    const isArray = Array.isArray(parsed);
    if (isArray && (parsed as unknown[]).length > maxReadings) {
      return whole('range', `the array holds more than ${maxReadings} elements`, payload);
    }
    const offsets = zone && new ReadOffsets(zone, at);
    const ask = offsets?.ask;
    const { readings, refusals } = interpret(parsed, { metric, at, utcOffset: ask });
    if (readings.length > maxReadings) {
      return whole('range', `the payload holds more than ${maxReadings} readings`, payload);
    }
    let bad = refusals;
    let count = readings.length;
    if (isEarly(readings, at)) {
      if (!isArray) return whole('clock-skew', skew(readings[0], at), payload);
      const early = earlyElements(parsed as unknown[], metric, at, ask);
      bad = [...refusals, ...early].sort((a, b) => a.index - b.index);
      const skip = bad.map((refusal) => refusal.index);
      count = interpret(parsed, { metric, at, skip, utcOffset: ask }).readings.length;
    }
    const first = bad[0];
    if (count === 0 && first !== undefined) return whole(first.reason, first.message, payload);
    let critical = false;
    if (classes !== undefined)
      for (const r of readings) critical ||= classOf(classes, r.metric, r.value) === 'critical';
    const utcOffset = offsets?.result;
    if (first === undefined) return { count, critical, refused: NONE, utcOffset };
    const elements = splitElements(payload);
    const refused = bad.map(({ index, reason, message }) => ({
      reason,
      stage: STAGE,
      message,
      bytes: elements[index] ?? payload,
      index,
    }));
    return { count, critical, refused, utcOffset };
  };
}
