import {
  decodeEnvelope,
  type Envelope,
  type Forced,
  type Interpretation,
  interpret,
  isName,
  LIMITS,
  type LineHead,
  PayloadError,
} from '@weir/reading';
import type { Device, Devices } from './names.ts';

export interface ParsedLine {
  readonly envelope: Envelope;
  readonly known: Device | undefined;
  readonly interpretation: Interpretation;
}

/** A line of JSON that is not an envelope. */
class EnvelopeError extends Error {}

/** Whether an error of `parseLine` says that the line is wrong. Any other is a bug, and must not bury a whole topic. */
export function isLineError(error: unknown): error is Error {
  return error instanceof EnvelopeError || error instanceof PayloadError || error instanceof SyntaxError;
}

/** Reads a line of the log, of any form. Throws an `isLineError` when it is not an envelope; changes nothing. */
export function parseLine(line: string, devices: Devices): ParsedLine {
  if (!line.startsWith('{')) throw new EnvelopeError('the line is not a JSON object');
  const envelope = decodeEnvelope(line);
  checkEnvelope(envelope);
  const known = devices.get(envelope.site, envelope.device);
  if (known === undefined) checkNames(envelope);
  if (envelope.metric !== undefined && known?.series(envelope.metric) === undefined) checkNames(envelope);
  const payload =
    envelope.payloadText === undefined ? envelope.payload : (JSON.parse(envelope.payloadText) as unknown);
  return { envelope, known, interpretation: interpret(payload, envelope) };
}

function checkEnvelope(envelope: Envelope): void {
  const { site, device, edge, n, at } = envelope;
  if (typeof site !== 'string' || typeof device !== 'string' || typeof edge !== 'string')
    throw new EnvelopeError('an envelope needs the texts edge, site and device');
  if (!Number.isSafeInteger(n) || !Number.isSafeInteger(at))
    throw new EnvelopeError('an envelope needs the whole numbers n and at');
  // The database keeps it in JSON, which holds neither NUL nor half a surrogate pair.
  if (edge.includes('\0') || !edge.isWellFormed())
    throw new EnvelopeError('an envelope names an edge that is not valid text');
  if (envelope.forced !== undefined) checkForced(envelope.forced);
}

function checkForced(forced: unknown): void {
  const { offset, readings, task } = (forced ?? {}) as Partial<Record<keyof Forced, unknown>>;
  const whole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;
  if (typeof task !== 'string') throw new EnvelopeError('a replay names its task');
  if (offset !== undefined && (typeof offset !== 'string' || !/^\d{1,19}$/.test(offset)))
    throw new EnvelopeError(
      'a replay names the offset that its readings were buried from as a text of digits',
    );
  if (readings !== undefined && (!Array.isArray(readings) || !readings.every(whole)))
    throw new EnvelopeError('a replay names its readings by their indexes');
}

/** Names are checked once, where they are new: the edge has checked them, a foreign producer may not have. */
export function checkNames({ site, device, metric }: LineHead): void {
  if (!isName(site, LIMITS.siteBytes) || !isName(device, LIMITS.deviceBytes))
    throw new EnvelopeError('an envelope names a site or device that cannot be a name');
  if (metric !== undefined && !isName(metric, LIMITS.metricBytes))
    throw new EnvelopeError('an envelope names a metric that cannot be a name');
}
