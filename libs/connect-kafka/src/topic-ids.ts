import type { Cluster } from 'kafkajs';
import { openCluster } from './cluster.ts';
import { holdConnection } from './held-connection.ts';
import type { KafkaOptions, TopicIds } from './types.ts';

const METADATA = 3;
/** The first version that names topics by their ids, and may leave them out (KIP-516); since Kafka 2.8. */
const VERSION = 12;

/** What kafkajs sends: it writes the header of the old form, without tagged fields. */
interface Sending {
  findControllerBroker(): Promise<{
    readonly connectionPool: {
      send(protocol: {
        readonly request: object;
        readonly response: { decode(payload: Buffer): Promise<object>; parse<T>(data: T): Promise<T> };
      }): Promise<{ readonly ids: ReadonlyMap<string, string> }>;
    };
  }>;
}

/**
 * Asks for the ids of topics, which tell a topic from one made anew under its name. kafkajs speaks an older version of
 * the request, so this one is written here. Connects with the first call.
 */
export function openTopicIds(options: KafkaOptions): TopicIds {
  const open = async (): Promise<Cluster> => {
    const cluster = await openCluster(options);
    await cluster.refreshMetadata(); // of no topic: it tells who the controller is
    return cluster;
  };
  const held = holdConnection({
    what: 'the reader of topic ids',
    open,
    deadlineMs: options.requestTimeoutMs ?? 30_000,
  });
  return {
    read: (topics) =>
      held.using('reading the ids of topics', async (cluster) => {
        const { connectionPool } = await (cluster as unknown as Sending).findControllerBroker();
        const request = {
          ...{ apiKey: METADATA, apiVersion: VERSION, apiName: 'Metadata' },
          encode: async () => encoded(metadataRequest(topics)),
        };
        const decode = async (payload: Buffer) => ({ ids: topicIdsIn(payload), clientSideThrottleTime: 0 });
        const answer = await connectionPool.send({
          request,
          response: { decode, parse: async (data) => data },
        });
        return answer.ids;
      }),
    close: held.close,
  };
}

/** As kafkajs's encoder hands over bytes. */
const encoded = (buffer: Buffer) => ({ buf: buffer, buffer, size: () => buffer.length });

/** An unsigned variable-length integer, as the flexible versions of the protocol write lengths (KIP-482). */
function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest >>>= 7) bytes.push((rest & 127) | 128);
  return [...bytes, rest];
}

/** Of these topics and of nothing else. */
function metadataRequest(topics: readonly string[]): Buffer {
  const parts: Buffer[] = [Buffer.from([0, ...varint(topics.length + 1)])]; // no tags in the header
  for (const topic of topics) {
    const name = Buffer.from(topic);
    parts.push(Buffer.alloc(16), Buffer.from(varint(name.length + 1)), name, Buffer.from([0]));
  }
  parts.push(Buffer.from([0, 0, 0])); // create none, no authorized operations, no tags
  return Buffer.concat(parts);
}

/** Name → id of the topics in an answer that exist. */
function topicIdsIn(payload: Buffer): Map<string, string> {
  let at = 0;
  const skip = (bytes: number): void => {
    at += bytes;
  };
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = payload.readUInt8(at++);
      value |= (byte & 127) << shift;
      if (byte < 128) return value >>> 0;
    }
  };
  const text = (): string | null => {
    const length = varint() - 1;
    if (length < 0) return null;
    at += length;
    return payload.toString('utf8', at - length, at);
  };
  const tags = (): void => {
    for (let left = varint(); left > 0; left--) {
      varint();
      skip(varint());
    }
  };
  const each = (read: () => void): void => {
    for (let left = varint() - 1; left > 0; left--) read();
  };
  const numbers = (): void => each(() => skip(4));

  tags(); // of the header
  skip(4); // throttle time
  each(() => {
    skip(4);
    text();
    skip(4);
    text();
    tags();
  });
  text();
  skip(4); // cluster, controller
  const ids = new Map<string, string>();
  each(() => {
    const failed = payload.readInt16BE(at) !== 0;
    skip(2);
    const name = text();
    const id = payload.toString('hex', at, at + 16);
    skip(16 + 1); // id, internal
    each(() => {
      skip(2 + 4 + 4 + 4); // error, partition, leader, epoch
      numbers();
      numbers();
      numbers();
      tags();
    });
    skip(4);
    tags();
    if (!failed && name !== null) ids.set(name, id);
  });
  return ids;
}
