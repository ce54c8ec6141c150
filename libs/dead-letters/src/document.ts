import { isUtf8 } from 'node:buffer';
import { WeirError } from '@weir/flow';
import {
  decodeEnvelope,
  type Envelope,
  interpret,
  isName,
  LIMITS,
  payloadBytes,
  readingsOf,
} from '@weir/reading';
import type { Letter } from './letter.ts';
import type { OriginReader } from './origin.ts';

/**
 * What a patch is applied to, and what the patched one becomes: the payload of a line of the readings log, the list of
 * lines of a telemetry message, any other JSON as it is, and other text as one string.
 */
export interface Document {
  readonly value: unknown;
  /** The bytes of a changed document. Throws a data error that says why it cannot be sent. */
  write(value: unknown): Buffer;
}

type Described = Pick<Letter, 'originSystem' | 'origin' | 'originalAt' | 'readings'>;

const refuse = (why: string): WeirError => new WeirError('WEIR_SCHEMA', 'data', why);

function parse(text: string): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return null;
  }
}

const isFields = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Throws a data error when the bytes are no text. */
export function documentOf(letter: Described, bytes: Buffer, readOrigin: OriginReader): Document {
  if (!isUtf8(bytes)) throw refuse('its bytes are not UTF-8, so a JSON patch cannot change them');
  const text = bytes.toString('utf8');
  const whole = parse(text);
  if (isFields(whole?.value) && 'edge' in whole.value && whole.value.v === 1)
    return lineDocument(text, letter);
  const lines = text.split('\n').filter((line) => line !== '');
  if (letter.originSystem === 'rabbitmq' && lines.length > 0) {
    const values = lines.map(parse);
    const all = values.flatMap((found) => found ?? []).map(({ value }) => value);
    if (
      all.length === lines.length &&
      all.every((value) => isFields(value) && 'device' in value && 'ts' in value)
    )
      return telemetryDocument(all);
  }
  const isPayload = letter.originSystem === 'mqtt' || letter.originSystem === 'http';
  const named = isPayload ? readOrigin(letter.originSystem, letter.origin) : null;
  return {
    value: whole === null ? text : whole.value,
    write(value) {
      if (isPayload) checkPayload(value, named?.metric, letter.originalAt.getTime());
      return Buffer.from(JSON.stringify(value));
    },
  };
}

/** The payload of a device, as the edge would read it. */
function checkPayload(value: unknown, metric: string | undefined, at: number): void {
  const { readings, refusals } = interpret(value, { metric, at });
  const [first] = refusals;
  if (first !== undefined) throw refuse(first.message);
  if (readings.length === 0) throw refuse('it holds no reading');
}

/** A line of the readings log: its payload is what the device sent. */
function lineDocument(line: string, { readings }: Described): Document {
  const envelope = decodeEnvelope(line);
  const before = JSON.parse(payloadBytes(line).toString('utf8')) as unknown;
  const count = countOf(envelope);
  return {
    value: before,
    write(value) {
      const { payload: _, payloadText: __, ...head } = envelope;
      const edited: Envelope = { ...head, payload: value };
      checkPayload(value, envelope.metric, envelope.at);
      const found = readingsOf(edited).length;
      if (readings !== null && found !== count)
        throw refuse(
          `it would hold ${found} readings instead of ${count ?? 'those that it has'}, but only some of them are dead letters`,
        );
      // The payload stands last, as in every line.
      return Buffer.from(`${JSON.stringify(edited)}\n`);
    },
  };
}

function countOf(envelope: Envelope): number | null {
  try {
    return readingsOf(envelope).length;
  } catch {
    return null;
  }
}

/** Lines of a telemetry message, one reading each. */
function telemetryDocument(lines: readonly unknown[]): Document {
  return {
    value: lines,
    write(value) {
      if (!Array.isArray(value) || value.length === 0) throw refuse('it must be a list of lines, not empty');
      for (const [index, line] of value.entries()) {
        const why = lineTrouble(line);
        if (why !== null) throw refuse(`line ${index + 1} ${why}`);
      }
      return Buffer.from(value.map((line) => `${JSON.stringify(line)}\n`).join(''));
    },
  };
}

function lineTrouble(line: unknown): string | null {
  if (!isFields(line)) return 'is not an object';
  const { device, ts, value } = line;
  if (typeof device !== 'string' || !isName(device, LIMITS.deviceBytes)) return 'names no device';
  if (typeof ts !== 'number' || !Number.isSafeInteger(ts) || ts < LIMITS.minTs || ts > LIMITS.maxTs)
    return 'has no ts in epoch milliseconds';
  if (typeof value !== 'number' || !Number.isFinite(value)) return 'has no finite value';
  return null;
}
