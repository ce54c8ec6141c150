import { isUtf8 } from 'node:buffer';
import type { Arrivals, ReadingBatch } from '@weir/alerts';
import type { Delivery } from '@weir/connect-rabbitmq';
import { WeirError } from '@weir/flow';
import { isName, LIMITS, TelemetryScanner } from '@weir/reading';

type TelemetryReading = ReadingBatch['readings'][number] & Arrivals['readings'][number];

export interface TelemetryBatch extends ReadingBatch {
  readonly readings: readonly TelemetryReading[];
  /** Why some lines are not readings; the good ones still count. Absent when all are. */
  readonly error?: WeirError;
}

const refusal = (delivery: Delivery, why: string): WeirError =>
  new WeirError('WEIR_DECODE', 'data', `decoding a message of ${delivery.queue} (${delivery.key}): ${why}`);

/** Site and metric of a telemetry message. Throws a data error when its headers do not name them. */
export function telemetrySource(delivery: Delivery): { site: string; metric: string } {
  const { site, metric } = delivery.headers;
  if (typeof site !== 'string' || !isName(site, LIMITS.siteBytes))
    throw refusal(delivery, 'the header site is missing or not a name');
  if (typeof metric !== 'string' || !isName(metric, LIMITS.metricBytes))
    throw refusal(delivery, 'the header metric is missing or not a name');
  return { site, metric };
}

const scanner = new TelemetryScanner();
const NEWLINE = 0x0a;

function parseLine(text: string): TelemetryReading | string {
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    return 'is not JSON';
  }
  if (typeof line !== 'object' || line === null) return 'is not an object';
  const { device, ts, value, at } = line as Record<string, unknown>;
  if (typeof device !== 'string' || !isName(device, LIMITS.deviceBytes)) return 'names no device';
  if (typeof ts !== 'number' || !Number.isSafeInteger(ts)) return 'has no ts in epoch milliseconds';
  if (typeof value !== 'number' || !Number.isFinite(value)) return 'has no finite value';
  return { device, ts, value, at: typeof at === 'number' && Number.isSafeInteger(at) ? at : null };
}

/** The readings of a telemetry message: NDJSON, one line each. Never throws for bad lines. */
export function decodeTelemetry(
  delivery: Delivery,
  source: { site: string; metric: string },
): TelemetryBatch {
  const { body } = delivery;
  if (!isUtf8(body)) return { ...source, readings: [], error: refusal(delivery, 'the body is not UTF-8') };
  const readings: TelemetryReading[] = [];
  let error: WeirError | undefined;
  for (let from = 0, line = 1; from < body.length; line++) {
    let end = scanner.scan(body, from);
    if (end >= 0) {
      const { device, ts, value, arrivedAt } = scanner;
      readings.push({ device, ts, value, at: arrivedAt });
    } else {
      end = body.indexOf(NEWLINE, from);
      if (end < 0) end = body.length;
      const reading = end === from ? null : parseLine(body.toString('utf8', from, end));
      if (typeof reading === 'string') error ??= refusal(delivery, `line ${line} ${reading}`);
      else if (reading !== null) readings.push(reading);
    }
    from = end + 1;
  }
  if (readings.length === 0) error ??= refusal(delivery, 'the body is empty');
  return { ...source, readings, ...(error === undefined ? {} : { error }) };
}
