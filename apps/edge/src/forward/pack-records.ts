import type { OutgoingRecord } from '@weir/connect-kafka';
import { ENVELOPE_CODEC } from '@weir/reading';
import { RECORD_HEADERS } from '@weir/topology';
import { parseDeadLetterBody, type SpoolRecord } from '../spool/index.ts';
import { lineAt, lineDevice } from './line.ts';

/** Lines of one partition that go into one Kafka record. */
export interface Pack {
  readonly partition: number;
  readonly lines: readonly Buffer[];
  /** Readings inside. */
  readonly readings: number;
  readonly record: OutgoingRecord;
}

/** What one round of records becomes in Kafka; per partition in the order of n. */
export interface KafkaRound {
  readonly packs: readonly Pack[];
  readonly deadLetters: readonly OutgoingRecord[];
}

export interface PackOptions {
  /** One record per partition; else one per publish, keyed by device. */
  readonly packed: boolean;
  readonly deadLetterPartitions: number;
}

export function makePack(
  partition: number,
  lines: readonly Buffer[],
  readings: number,
  keyed: boolean,
): Pack {
  const first = lines[0] as Buffer;
  return {
    partition,
    lines,
    readings,
    record: {
      partition,
      key: keyed ? lineDevice(first) : null,
      value: lines.length === 1 ? first : Buffer.concat(lines as Buffer[]),
      headers: { [RECORD_HEADERS.codec]: ENVELOPE_CODEC, [RECORD_HEADERS.count]: String(lines.length) },
      timestamp: lineAt(first, Date.now()),
    },
  };
}

export function packRecords({ packed, deadLetterPartitions }: PackOptions) {
  return function packRecords(records: readonly SpoolRecord[]): KafkaRound {
    const byPartition = new Map<number, { lines: Buffer[]; readings: number }>();
    const packs: Pack[] = [];
    const deadLetters: OutgoingRecord[] = [];
    for (const record of records) {
      if (record.kind === 'reading') {
        if (!packed) {
          packs.push(makePack(record.partition, [record.body], record.count, true));
          continue;
        }
        const open = byPartition.get(record.partition);
        if (open === undefined) {
          byPartition.set(record.partition, { lines: [record.body], readings: record.count });
        } else {
          open.lines.push(record.body);
          open.readings += record.count;
        }
      } else if (record.kind === 'dead-letter') {
        const { key, headers, raw } = parseDeadLetterBody(record.body);
        deadLetters.push({
          partition: record.partition % deadLetterPartitions,
          key: key === null ? null : Buffer.from(key),
          value: raw,
          headers,
          timestamp: record.at,
        });
      }
    }
    for (const [partition, { lines, readings }] of byPartition) {
      packs.push(makePack(partition, lines, readings, false));
    }
    return { packs, deadLetters };
  };
}
