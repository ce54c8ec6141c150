import { isUtf8 } from 'node:buffer';
import type { IHeaders, KafkaMessage } from 'kafkajs';
import type { KafkaRecord } from './types.ts';

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});
const EMPTY = Buffer.alloc(0);

/** The messages from offset `from` on, in our own shape. */
export function toRecords(messages: readonly KafkaMessage[], from: bigint): KafkaRecord[] {
  const records: KafkaRecord[] = [];
  for (const message of messages) {
    const offset = BigInt(message.offset);
    if (offset < from) continue;
    records.push({
      offset,
      timestamp: Number(message.timestamp),
      key: message.key,
      value: message.value ?? EMPTY,
      headers: toHeaders(message.headers),
    });
  }
  return records;
}

function toHeaders(headers: IHeaders | undefined): Readonly<Record<string, string>> {
  if (headers === undefined) return NO_HEADERS;
  const texts: Record<string, string> = {};
  for (const name in headers) {
    const value = headers[name];
    // Kafka allows a name twice; the last one wins, as in Kafka's own lastHeader().
    const last = Array.isArray(value) ? value.at(-1) : value;
    if (last === undefined) continue;
    // What is no text keeps its bytes: one character each.
    texts[name] = typeof last === 'string' ? last : last.toString(isUtf8(last) ? 'utf8' : 'latin1');
  }
  return texts;
}
