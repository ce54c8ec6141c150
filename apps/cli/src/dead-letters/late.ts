import { setTimeout as delay } from 'node:timers/promises';
import {
  type LogReader,
  lateReplay,
  type OutgoingRecord,
  type Producer,
  readLetters,
  type StoredLetter,
} from '@weir/connect-kafka';
import { areCounted, type Runner } from '@weir/connect-timescale';
import { decodeEnvelope, type Envelope, type Replay, readingsOf } from '@weir/reading';
import { lateIdentity } from '@weir/windows';

/** Which letters; every field that is given must fit. */
export interface LetterFilter {
  readonly device?: string;
  readonly site?: string;
  /** When it was buried, epoch milliseconds; `to` is exclusive. */
  readonly from?: number;
  readonly to?: number;
  readonly id?: string;
}

/** A letter about late readings. */
export interface LateLetter {
  readonly stored: StoredLetter;
  readonly envelope: Envelope;
  /** Those of its readings that were too late, and what makes each one itself. */
  readonly readings: readonly { readonly metric: string; readonly ts: number; readonly identity: string }[];
  /** All of them were brought back before. */
  readonly counted: boolean;
}

const BATCH = 500;

/**
 * Late letters of the aggregator that fit, some hundred at a time, in the order in which they were buried.
 * @param readings name of the topic that they must come from
 */
export async function* lateLetters(
  log: LogReader,
  database: Runner,
  readings: string,
  filter: LetterFilter,
): AsyncGenerator<readonly LateLetter[]> {
  let batch: Omit<LateLetter, 'counted'>[] = [];
  for await (const stored of readLetters(log, filter)) {
    const { letter } = stored;
    if (letter.reason !== 'late' || letter.kafka?.topic !== readings) continue;
    if (filter.id !== undefined && letter.id !== filter.id) continue;
    const envelope = decodeEnvelope(stored.value.toString('utf8'));
    if (filter.device !== undefined && envelope.device !== filter.device) continue;
    if (filter.site !== undefined && envelope.site !== filter.site) continue;
    batch.push({ stored, envelope, readings: lateOf(envelope, letter.readings ?? []) });
    if (batch.length < BATCH) continue;
    yield await withCounted(database, batch);
    batch = [];
  }
  if (batch.length > 0) yield await withCounted(database, batch);
}

function lateOf(envelope: Envelope, indexes: readonly number[]): LateLetter['readings'] {
  const all = readingsOf(envelope);
  return indexes.flatMap((index) => {
    const reading = all[index];
    // Beyond the readings of the payload stand derived ones, which the aggregator makes again.
    if (reading === undefined) return [];
    return { metric: reading.metric, ts: reading.ts, identity: lateIdentity(envelope, reading, index) };
  });
}

async function withCounted(
  database: Runner,
  batch: readonly Omit<LateLetter, 'counted'>[],
): Promise<LateLetter[]> {
  const known = await areCounted(
    database,
    batch.flatMap(({ readings }) => readings.map(({ identity }) => identity)),
  );
  return batch.map((letter) => ({
    ...letter,
    counted: letter.readings.every(({ identity }) => known.has(identity)),
  }));
}

/** What a choice of letters comes to. */
export interface LateSummary {
  letters: number;
  /** Late readings in them. */
  readings: number;
  /** Letters whose readings were all brought back before: they are not sent again. */
  counted: number;
  readonly devices: Map<string, number>;
  readonly samples: LateLetter[];
}

const SAMPLES = 5;

export async function summarize(letters: AsyncIterable<readonly LateLetter[]>): Promise<LateSummary> {
  const summary: LateSummary = { letters: 0, readings: 0, counted: 0, devices: new Map(), samples: [] };
  for await (const batch of letters) {
    for (const letter of batch) {
      const { site, device } = letter.envelope;
      summary.letters++;
      summary.readings += letter.readings.length;
      if (letter.counted) summary.counted++;
      summary.devices.set(`${site}/${device}`, (summary.devices.get(`${site}/${device}`) ?? 0) + 1);
      if (summary.samples.length < SAMPLES) summary.samples.push(letter);
    }
  }
  return summary;
}

export interface SendOptions {
  readonly producer: Producer;
  readonly topic: string;
  readonly replay: Replay;
  /** Letters a second, at most. */
  readonly rate: number;
  readonly onSent: (letters: number) => void;
}

/**
 * Sends the letters that were not counted yet, in their order: so the sums of their windows are what they would have
 * been, to the last bit. Ended at any point, it can be begun again.
 */
export async function sendLate(
  letters: AsyncIterable<readonly LateLetter[]>,
  { producer, topic, replay, rate, onSent }: SendOptions,
): Promise<{ letters: number; readings: number }> {
  const sent = { letters: 0, readings: 0 };
  const began = performance.now();
  const perRequest = Math.max(1, Math.min(BATCH, Math.ceil(rate / 10)));
  for await (const batch of letters) {
    const open = batch.filter(({ counted }) => !counted);
    for (let at = 0; at < open.length; at += perRequest) {
      const part = open.slice(at, at + perRequest);
      const wait = began + (sent.letters * 1_000) / rate - performance.now();
      if (wait > 0) await delay(wait);
      await producer.send(
        topic,
        part.map(({ stored }): OutgoingRecord => lateReplay(stored, replay)),
      );
      sent.letters += part.length;
      for (const { readings } of part) sent.readings += readings.length;
      onSent(sent.letters);
    }
  }
  return sent;
}
