import assert from 'node:assert/strict';
import { type Isolated, until } from '@weir/testkit';
import { assertWindows, type KnownReading } from './recompute.ts';
import {
  archiveLines,
  kafkaLines,
  type RabbitAudit,
  type StoredLine,
  storedWindows,
  windowedReadings,
} from './sinks.ts';

const identity = (r: { device: string; seq?: number | undefined }): string => `${r.device} ${r.seq}`;

/** Lines without those that a forwarder or a device sent again, and the order of `seq` that is left, per device. */
function assertOrder(lines: readonly StoredLine[], known: readonly KnownReading[], where: string): void {
  const highest = new Map<string, number>();
  const next = new Map<string, number>();
  const seen = new Set<string>();
  for (const { partition, envelope } of lines) {
    const source = `${partition} ${envelope.edge}`;
    if (envelope.n <= (highest.get(source) ?? -1)) continue; // the forwarder sent this line again
    highest.set(source, envelope.n);
    const { seq } = envelope.payload as { seq: number };
    const key = identity({ device: envelope.device, seq });
    if (seen.has(key)) continue; // the device sent it again: its acknowledgement was lost
    seen.add(key);
    const expected = next.get(envelope.device) ?? 0;
    assert.equal(seq, expected, `${where}: seq of ${envelope.device} must go on without a gap`);
    next.set(envelope.device, expected + 1);
  }
  assert.equal(seen.size, known.length, `${where}: every reading is there`);
}

/** Waits until all of `known` is in the windows of every level, then compares each row with a recomputation. */
export async function auditWindows(
  space: Isolated,
  known: readonly KnownReading[],
  deadlineMs: number,
): Promise<number> {
  await until(async () => (await windowedReadings(space)) >= known.length, {
    deadlineMs,
    what: `${known.length} readings in windows`,
    everyMs: 500,
  });
  // The last windows of the longer levels are written when their devices have been silent for the idle timeout.
  const windows = await until(
    async () => {
      const stored = await storedWindows(space);
      const hours = stored.filter(({ level }) => level === '1h');
      return hours.reduce((sum, { count }) => sum + count, 0) >= known.length ? stored : false;
    },
    { deadlineMs: 60_000, what: 'the hour windows of silent devices', everyMs: 500 },
  );
  assertWindows(windows, known, 'windows');
  return windows.length;
}

/** Waits until the archive has as many lines as the log and compares them byte for byte. */
export async function auditArchive(
  space: Isolated,
  lines: readonly StoredLine[],
  deadlineMs: number,
): Promise<readonly StoredLine[]> {
  const archived = await until(
    async () => {
      const stored = await archiveLines(space);
      return stored.length >= lines.length ? stored : false;
    },
    { deadlineMs, what: `${lines.length} lines in the archive`, everyMs: 1_000 },
  );
  const view = (all: readonly StoredLine[]): string[] =>
    all.map((l) => `${l.partition}/${l.offset}/${l.line} ${l.envelope.device} ${l.payload}`).sort();
  assert.deepEqual(view(archived), view(lines), 'the archive holds the log byte for byte');
  return archived;
}

/**
 * Waits until everything that the devices were acknowledged has arrived everywhere, then checks every promise:
 * complete and in order in the log, the archive equal to the log, all of it in RabbitMQ, and every window right.
 */
export async function audit(
  space: Isolated,
  rabbit: RabbitAudit,
  known: readonly KnownReading[],
  deadlineMs: number,
): Promise<{ lines: number; windows: number }> {
  const windows = await auditWindows(space, known, deadlineMs);
  const lines = await kafkaLines(space);
  assertOrder(lines, known, 'Kafka');
  assertOrder(await auditArchive(space, lines, deadlineMs), known, 'archive');
  await until(() => new Set(rabbit.readings.map(identity)).size >= known.length, {
    deadlineMs,
    what: `${known.length} readings in RabbitMQ`,
    everyMs: 500,
  });
  return { lines: lines.length, windows };
}
