import type { Metrics } from '@weir/observe';
import { encodeEnvelope, envelopePrefix, partitionOf } from '@weir/reading';
import { READINGS_PARTITIONS } from '@weir/topology';
import { Spool, type SpoolOptions } from '../spool/index.ts';
import { Tally } from './tally.ts';

/** A spool for tests, in `dir`. */
export function testSpool(dir: string, options: Partial<SpoolOptions> = {}): Promise<Spool> {
  return Spool.open({
    dir,
    maxBytes: 256 << 20,
    segmentBytes: 1 << 20,
    memoryBytes: 4 << 20,
    whenFull: 'block',
    onFatal: (error) => {
      throw error;
    },
    ...options,
  });
}

/** Appends the reading `value` of `device` as the doors do; resolves with its n when it is durable. */
export function appendReading(
  spool: Spool,
  device: string,
  value: number,
  { critical = false, metric }: { critical?: boolean; metric?: string } = {},
): Promise<number> {
  const n = spool.nextN();
  const prefix = envelopePrefix({
    edge: `edge-1/${spool.sourceId}`,
    site: 'plant',
    device,
    metric,
    via: 'mqtt',
  });
  const at = Date.now();
  const payload = Buffer.from(`{"ts":${at},"seq":${value},"value":${value},"unit":"C"}`);
  return new Promise((resolve, reject) => {
    const taken = spool.append(
      {
        kind: 'reading',
        critical,
        partition: partitionOf(device, READINGS_PARTITIONS),
        count: 1,
        body: encodeEnvelope(prefix, { n, k: spool.counted() + 1, at, qos: 1, mid: 7, critical }, payload),
      },
      (error) => (error === null ? resolve(n) : reject(error)),
    );
    if (!taken) reject(new Error(`the spool is ${spool.state}`));
  });
}

/** The tally of a new spool. */
export function testTally(spool: Spool): Tally {
  return new Tally(`edge-1/${spool.sourceId}`, spool.reader('kafka').note, spool.isNew, Date.now());
}

/** The value of a metric, by name and labels. */
export async function metricValue(
  metrics: Metrics,
  name: string,
  labels: Readonly<Record<string, string>>,
): Promise<number | undefined> {
  const metric = await metrics.registry.getSingleMetric(name)?.get();
  const wanted = Object.entries(labels);
  return metric?.values.find((value) =>
    wanted.every(([key, text]) => (value.labels as Record<string, unknown>)[key] === text),
  )?.value;
}
