import { createHash } from 'node:crypto';
import type { OutgoingRecord } from '@weir/connect-kafka';
import type { OutgoingMessage } from '@weir/connect-rabbitmq';
import { type FullLetter, kafkaPlace, type NamedOrigin, originReader } from '@weir/dead-letters';
import {
  ENVELOPE_CODEC,
  type Envelope,
  encodeEnvelope,
  envelopePrefix,
  type Forced,
  forceLine,
  interpret,
  isName,
  LIMITS,
  PayloadError,
  parsePayload,
  partitionOf,
  type Reading,
  type Refusal,
  type Replay,
  replayHeaders,
  type TopicTemplates,
  topicReader,
} from '@weir/reading';
import { type KafkaTopic, RECORD_HEADERS } from '@weir/topology';
import { isLineError, lateIdentity, readLine } from '@weir/windows';

/** A letter as it is sent again. */
export type Outgoing =
  | {
      readonly system: 'kafka';
      /** Topic. */
      readonly destination: string;
      readonly record: OutgoingRecord;
      /** Of its readings; the aggregator counts each of them once, for ever. */
      readonly identities: readonly string[];
    }
  | {
      readonly system: 'rabbitmq';
      /** Queue. */
      readonly destination: string;
      readonly message: OutgoingMessage;
    };

/** Why a letter cannot be sent as it is, in words that say what to do. */
export class Refused extends Error {}

export interface MakeOptions {
  readonly readings: KafkaTopic;
  readonly templates: TopicTemplates;
  /** How far ahead of now a reading's time may lie, milliseconds. */
  readonly maxFutureMs: number;
}

export interface LetterBytes {
  /** As they are sent: of the newest edit, or the original ones. */
  readonly current: Buffer;
  /** Null: they were not edited. */
  readonly original: Buffer | null;
}

/** Who sends it, and under which count. */
export interface Sending extends Replay {
  readonly replayCount: number;
}

const EDIT = 'edit it first';
/** Made by the broker for each way of a message, or by us for each letter; a replay has its own. */
const OWN_HEADER = /^x-(death|first-death-|last-death-|delivery-count|dlq-|acquired-count)|^__dlq\./;

/**
 * Makes a step that turns a letter into what its destination takes: a line that the aggregator counts once, however
 * often it comes; or a message for the queue whose consumer gave it up, with the id of the letter. The same letter and
 * bytes give the same line. The step throws `Refused`.
 */
export function makeMessages({ readings: topic, templates, maxFutureMs }: MakeOptions) {
  const readOrigin = originReader(templates);
  const readTopic = topicReader(templates);

  function sourceOf({ originSystem, origin }: FullLetter): NamedOrigin {
    const named = readOrigin(originSystem, origin);
    const isTelemetry = originSystem === 'http' || readTopic(origin).kind === 'telemetry';
    if (named === null || !isTelemetry)
      throw new Refused(`what came by ${originSystem === 'http' ? 'this path' : 'this topic'} is no reading`);
    if (named.metric !== undefined && !isName(named.metric, LIMITS.metricBytes))
      throw new Refused('its path names something that cannot be a metric');
    return named;
  }

  function check(readings: readonly Reading[], [refusal]: readonly Refusal[]): void {
    if (refusal !== undefined) throw new Refused(`${refusal.message}: ${EDIT}`);
    if (readings.length === 0) throw new Refused(`it holds no reading: ${EDIT}`);
    const latest = Date.now() + maxFutureMs;
    if (readings.some(({ ts }) => ts > latest))
      throw new Refused(`a reading lies further in the future than edge.maxFuture allows: wait, or ${EDIT}`);
  }

  /** A payload that an edge refused: no line of it was ever in the log. */
  function payloadLine(letter: FullLetter, { current: payload }: LetterBytes, task: string) {
    const source = sourceOf(letter);
    const at = letter.originalAt.getTime();
    try {
      const { readings, refusals } = interpret(parsePayload(payload), { metric: source.metric, at });
      check(readings, refusals);
    } catch (error) {
      if (error instanceof PayloadError) throw new Refused(`${error.message}: ${EDIT}`);
      throw error;
    }
    const via = letter.originSystem === 'http' ? 'http' : 'mqtt';
    const line = encodeEnvelope(
      envelopePrefix({ ...source, edge: edgeOf(letter), via }),
      { n: 0, at },
      payload,
    );
    return force(line.toString('utf8').trimEnd(), { task }, partitionOf(source.device, topic.partitions));
  }

  /** A line that could not be stored, as a whole. */
  function wholeLine(letter: FullLetter, bytes: LetterBytes, task: string) {
    let text = lineOf(bytes.current);
    let line = read(text);
    const stored = kafkaPlace(letter.headers) == null ? [] : storedElements(letter, bytes, line.envelope);
    if (stored.length > 0 || line.envelope.forced !== undefined) {
      const { forced: _, ...rest } = line.envelope;
      const skip = [...new Set([...(rest.skip ?? []), ...stored])].sort((a, b) => a - b);
      // Of its own: the numbers of its readings are not those of the line that was folded.
      const edge = stored.length > 0 ? edgeOf(letter) : rest.edge;
      text = JSON.stringify({ ...rest, edge, ...(skip.length > 0 ? { skip } : {}) });
      line = read(text);
    }
    check(line.readings, line.refusals);
    return force(text, { task }, partitionOf(line.envelope.device, topic.partitions));
  }

  /** Readings of a line whose others are stored. */
  function lateLine(letter: FullLetter, { current, original }: LetterBytes, task: string) {
    const indexes = letter.readings ?? [];
    const text = lineOf(current);
    const { readings } = read(text);
    const place = kafkaPlace(letter.headers) ?? null;
    if (original === null) {
      if (place === null || place.topic !== topic.name || place.partition >= topic.partitions)
        throw new Refused(`it does not say where in ${topic.name} its readings lay`);
      return force(text, { offset: place.offset, readings: indexes, task }, place.partition);
    }
    const before = read(lineOf(original)).readings.length;
    const all = Array.from({ length: before }, (_, i) => i).every((i) => indexes.includes(i));
    if (!all && readings.length !== before)
      throw new Refused('other readings of its line are stored: an edit must keep their number');
    const { device } = read(text).envelope;
    const forced = all ? { task } : { readings: indexes.filter((i) => i < before), task };
    return force(text, forced, partitionOf(device, topic.partitions));
  }

  function kafkaLine(letter: FullLetter, bytes: LetterBytes, task: string) {
    if (letter.originSystem !== 'kafka') return payloadLine(letter, bytes, task);
    if (letter.origin !== topic.name)
      throw new Refused(
        'it comes from a topic that Weir does not write to: its own program must take it back',
      );
    if (typeof letter.headers['x-dlq-id'] !== 'string')
      throw new Refused(`another program buried it; the record itself is in ${topic.name} already`);
    return letter.readings === null ? wholeLine(letter, bytes, task) : lateLine(letter, bytes, task);
  }

  return function makeMessage(letter: FullLetter, bytes: LetterBytes, sending: Sending): Outgoing {
    const history = replayHeaders({ id: letter.id, replayCount: sending.replayCount - 1 }, sending);
    if (letter.originSystem === 'rabbitmq') return toQueue(letter, bytes.current, history);
    const { line, partition, key, identities } = kafkaLine(letter, bytes, sending.task);
    const headers = { [RECORD_HEADERS.codec]: ENVELOPE_CODEC, [RECORD_HEADERS.count]: '1', ...history };
    const record = { partition, key, value: Buffer.from(`${line}\n`), headers };
    return { system: 'kafka', destination: topic.name, record, identities };
  };
}

function toQueue(letter: FullLetter, body: Buffer, history: Readonly<Record<string, string>>): Outgoing {
  const kept = Object.entries(letter.headers).filter(
    (pair): pair is [string, string | number | boolean] =>
      !OWN_HEADER.test(pair[0]) && ['string', 'number', 'boolean'].includes(typeof pair[1]),
  );
  return {
    system: 'rabbitmq',
    destination: letter.origin,
    message: {
      exchange: '', // the default exchange: the queue alone, not its other readers
      key: letter.origin,
      body,
      headers: { ...Object.fromEntries(kept), ...history },
      contentType: letter.properties.contentType ?? 'application/octet-stream',
      messageId: letter.id,
    },
  };
}

/** Elements of an array payload that were stored when the rest of their line was buried. */
function storedElements(letter: FullLetter, { original, current }: LetterBytes, edited: Envelope): number[] {
  if (letter.reason === 'decode') return []; // nothing of it could be read
  let before: ReturnType<typeof readLine>;
  try {
    before = readLine(lineOf(original ?? current));
  } catch (error) {
    if (isLineError(error)) return [];
    throw error;
  }
  if (before.readings.length === 0) return [];
  const [was, is] = [before.envelope.payload, edited.payload];
  if (!Array.isArray(was) || !Array.isArray(is) || was.length !== is.length)
    throw new Refused('other elements of its payload are stored: an edit must keep their number');
  const refused = new Set(before.refusals.map(({ index }) => index));
  return was.flatMap((_, index) => (refused.has(index) ? [] : index));
}

function read(line: string): ReturnType<typeof readLine> {
  try {
    return readLine(line);
  } catch (error) {
    if (isLineError(error)) throw new Refused(`${error.message}: ${EDIT}`);
    throw error;
  }
}

function lineOf(bytes: Buffer): string {
  const text = bytes.toString('utf8').replace(/\r?\n$/, '');
  if (text.includes('\n')) throw new Refused(`it is more than one line: ${EDIT}`);
  return text;
}

function force(text: string, forced: Forced, partition: number) {
  const { envelope, readings } = read(text);
  const indexes = forced.readings ?? [...readings.keys()];
  const identities = indexes.flatMap((index) => {
    const reading = readings[index];
    // Beyond the readings of the payload stand derived ones, which the aggregator makes again.
    return reading === undefined ? [] : lateIdentity(envelope, reading, index);
  });
  return { line: forceLine(text, forced), partition, key: Buffer.from(envelope.device), identities };
}

/** The edge of a line that no edge has sent: the letter itself, so that its readings have an identity. */
function edgeOf({ id }: FullLetter): string {
  const name = isName(id, 100) ? id : createHash('sha256').update(id).digest('hex').slice(0, 32);
  return `dead-letter/${name}`;
}
