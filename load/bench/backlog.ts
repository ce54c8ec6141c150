import { openAdmin, openProducer } from '@weir/connect-kafka';
import { createLogger } from '@weir/observe';
import { ENVELOPE_CODEC, encodeEnvelope, envelopePrefix, HybridClock, partitionOf } from '@weir/reading';
import { type KafkaTopology, RECORD_HEADERS } from '@weir/topology';
import { payloadOf } from './payloads.ts';

/** Compressed or not, this is what the forwarder takes from the spool for one request when it is behind. */
const REQUEST_BYTES = 1 << 20;

export interface BacklogOptions {
  readonly brokers: readonly string[];
  readonly topology: KafkaTopology;
  /** Devices of one metric each. */
  readonly series: number;
  /** Seconds of event time, one reading of each device in each. */
  readonly seconds: number;
  /** Event time of the first readings, epoch milliseconds. */
  readonly from: number;
  readonly say: (text: string) => void;
}

/** Fills the readings topic with what one edge would have forwarded, packed as it packs. Returns the number of readings. */
export async function fillBacklog(options: BacklogOptions): Promise<number> {
  const { brokers, topology, series, seconds, from, say } = options;
  const { readings, deadLetters } = topology;
  const kafka = {
    brokers,
    clientId: 'bench',
    log: createLogger({ app: 'bench', level: 'silent', format: 'json' }),
  };
  const admin = openAdmin(kafka);
  await admin.applyTopics([readings, deadLetters]);
  await admin.close();
  const producer = openProducer(kafka);
  const { body, metric } = payloadOf('one-value');
  const devices = Array.from({ length: series }, (_, i) => {
    const device = `device-${String(i).padStart(6, '0')}`;
    const prefix = envelopePrefix({ edge: 'bench/1', site: 'bench', device, metric, via: 'mqtt' });
    return { prefix, partition: partitionOf(device, readings.partitions) };
  });
  const clock = new HybridClock();
  let open: Buffer[][] = Array.from({ length: readings.partitions }, () => []);
  let bytes = 0;
  const send = async (): Promise<void> => {
    const records = open.flatMap((lines, partition) => ({
      partition,
      value: Buffer.concat(lines),
      headers: { [RECORD_HEADERS.codec]: ENVELOPE_CODEC, [RECORD_HEADERS.count]: String(lines.length) },
      timestamp: Date.now(),
    }));
    open = open.map(() => []);
    bytes = 0;
    await producer.send(
      readings.name,
      records.filter(({ value }) => value.length > 0),
    );
  };
  let n = 0;
  for (let second = 0; second < seconds; second++) {
    for (const [i, { prefix, partition }] of devices.entries()) {
      // Devices are spread over the second, each in its own phase; a reading is at the edge 20 ms later.
      const ts = from + second * 1_000 + Math.floor((i * 1_000) / series);
      const at = ts + 20;
      const head = { n: ++n, at, hlc: clock.tick(at), qos: 1 as const, mid: 1 + (second % 65_000) };
      const line = encodeEnvelope(prefix, head, body(ts, second, i));
      (open[partition] as Buffer[]).push(line);
      bytes += line.length;
      if (bytes >= REQUEST_BYTES) await send();
    }
    if (second % 10 === 9) say(`  ${n} readings in Kafka`);
  }
  await send();
  await producer.close();
  return n;
}
