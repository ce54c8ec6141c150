import { decodeEnvelope, type Envelope, type Interpretation, interpret, isName, LIMITS } from '@weir/reading';
import type { Device } from './series.ts';

export interface ParsedLine {
  readonly envelope: Envelope;
  readonly known: Device | undefined;
  readonly interpretation: Interpretation;
}

/** Site → device id → device. */
type Sites = ReadonlyMap<string, ReadonlyMap<string, Device>>;

/** Reads a line of the log. Throws when it is not an envelope; changes nothing. */
export function parseLine(line: string, sites: Sites): ParsedLine {
  const envelope = decodeEnvelope(line);
  checkEnvelope(envelope);
  // Names are checked once, where they are new: the edge has checked them, a foreign producer may not have.
  const known = sites.get(envelope.site)?.get(envelope.device);
  if (known === undefined) checkNames(envelope);
  if (envelope.metric !== undefined && known?.series.has(envelope.metric) !== true) checkNames(envelope);
  const payload =
    envelope.payloadText === undefined ? envelope.payload : (JSON.parse(envelope.payloadText) as unknown);
  return { envelope, known, interpretation: interpret(payload, envelope) };
}

function checkEnvelope(envelope: Envelope): void {
  const { site, device, edge, n, at } = envelope;
  if (typeof site !== 'string' || typeof device !== 'string' || typeof edge !== 'string')
    throw new TypeError('an envelope needs the texts edge, site and device');
  if (!Number.isSafeInteger(n) || !Number.isSafeInteger(at))
    throw new TypeError('an envelope needs the whole numbers n and at');
}

function checkNames({ site, device, metric }: Envelope): void {
  if (!isName(site, LIMITS.siteBytes) || !isName(device, LIMITS.deviceBytes))
    throw new TypeError('an envelope names a site or device that cannot be a name');
  if (metric !== undefined && !isName(metric, LIMITS.metricBytes))
    throw new TypeError('an envelope names a metric that cannot be a name');
}
