import { isUtf8 } from 'node:buffer';
import type { HlcText } from './hlc.ts';
import { type Interpretation, interpret, type UtcOffset } from './interpret.ts';
import type { Reading } from './reading.ts';

/**
 * One accepted publish, as a line of JSON. It is what the spool, a Kafka record and an archive object hold; the
 * payload stands last, byte for byte as the device sent it. A later version may add keys before `payload`. The schema
 * version stays the same as long as a reader that does not know a key buries the line at worst, and never misreads it.
 */
export interface Envelope {
  /** Schema version. */
  readonly v: 1;
  /** `<edge id>/<spool id>`: a new spool is a new source of `n`. */
  readonly edge: string;
  /** Position in that spool; strictly increasing, so a line that the forwarder sent again is recognised by it. */
  readonly n: number;
  /**
   * Readings and refused messages that the spool had taken when it took this line, these readings included: whoever
   * reads a spool in order sees by it how many are missing. Absent in lines of version 0.1.
   */
  readonly k?: number;
  readonly site: string;
  readonly device: string;
  /** The metric named by the topic. */
  readonly metric?: string;
  /** Arrival at the edge, epoch milliseconds. */
  readonly at: number;
  /** Order among the lines and events of all edges (see `compareHlc`); missing in lines of version 0.1. */
  readonly hlc?: HlcText;
  readonly via: 'mqtt' | 'http';
  readonly qos?: 0 | 1 | 2;
  /** MQTT packet id, for QoS 1 and 2. */
  readonly mid?: number;
  /** The MQTT DUP flag was set. */
  readonly dup?: true;
  readonly class?: 'critical';
  /** Set by a replay of dead letters, never by an edge. */
  readonly forced?: Forced;
  /** Indexes of an array payload that the edge buried. */
  readonly skip?: readonly number[];
  /** How the edge read stamps without a zone. */
  readonly utcOffset?: UtcOffset;
  /** The parsed payload, when it stands verbatim in the line. */
  readonly payload?: unknown;
  /** The payload as text, when it holds line breaks and so cannot stand in a line of its own. */
  readonly payloadText?: string;
}

/** Marks a line that a replay of dead letters sent: these of its readings count now, although they are late. */
export interface Forced {
  /** Offset (decimal) of the record that they were buried from; it lies in the same partition. Absent: of none. */
  readonly offset?: string;
  /** Indexes among the readings of the line, ascending. Absent: all, also those that are derived from them. */
  readonly readings?: readonly number[];
  /** The replay that sent the line. */
  readonly task: string;
}

export const ENVELOPE_CODEC = 'weir-lines.v1';

export interface EnvelopeHead {
  readonly n: number;
  readonly k?: number | undefined;
  readonly at: number;
  readonly hlc?: HlcText | undefined;
  readonly qos?: 0 | 1 | 2 | undefined;
  readonly mid?: number | undefined;
  readonly dup?: boolean | undefined;
  readonly critical?: boolean | undefined;
  readonly skip?: readonly number[] | undefined;
  readonly utcOffset?: UtcOffset | undefined;
}

/** The part of a line that stays the same for a device and topic; make it once and keep it. */
export interface EnvelopeSource {
  readonly edge: string;
  readonly site: string;
  readonly device: string;
  readonly metric?: string | undefined;
  readonly via: 'mqtt' | 'http';
}

/** Text between `"n":` and the head's own values. Names hold no quote or backslash (see `isName`). */
export function envelopePrefix(source: EnvelopeSource): string {
  const metric = source.metric === undefined ? '' : `"metric":"${source.metric}",`;
  return `{"v":1,"edge":"${source.edge}","site":"${source.site}","device":"${source.device}",${metric}"via":"${source.via}","n":`;
}

const NEWLINE = 10;
const RETURN = 13;

/**
 * The line of a publish, with its final newline. `payload` must have passed `parsePayload`.
 * @param prefix from `envelopePrefix`
 */
export function encodeEnvelope(prefix: string, head: EnvelopeHead, payload: Buffer): Buffer {
  let text = `${prefix}${head.n}`;
  if (head.k !== undefined) text += `,"k":${head.k}`;
  text += `,"at":${head.at}`;
  if (head.hlc !== undefined) text += `,"hlc":"${head.hlc}"`;
  if (head.qos !== undefined) text += `,"qos":${head.qos}`;
  if (head.mid !== undefined) text += `,"mid":${head.mid}`;
  if (head.dup === true) text += ',"dup":true';
  if (head.critical === true) text += ',"class":"critical"';
  if (head.skip !== undefined && head.skip.length > 0) text += `,"skip":[${head.skip.join(',')}]`;
  if (head.utcOffset !== undefined) text += `,"utcOffset":${JSON.stringify(head.utcOffset)}`;
  if (payload.includes(NEWLINE) || payload.includes(RETURN)) {
    return Buffer.from(`${text},"payloadText":${JSON.stringify(payload.toString('utf8'))}}\n`);
  }
  text += ',"payload":';
  const size = Buffer.byteLength(text);
  const line = Buffer.allocUnsafe(size + payload.length + 2);
  line.write(text, 0, 'utf8');
  payload.copy(line, size);
  line[line.length - 2] = 0x7d; // }
  line[line.length - 1] = NEWLINE;
  return line;
}

const K = Buffer.from(',"k":');
const AT = Buffer.from(',"at":');

/** `k` of a line that `encodeEnvelope` made; null when it has none. */
export function countedBy(line: Buffer): number | null {
  const found = line.indexOf(K);
  // behind the head comes what a device wrote
  if (found < 0 || found > line.indexOf(AT)) return null;
  return Number.parseInt(line.toString('latin1', found + K.length, found + K.length + 16), 10);
}

/** A payload that is not JSON in UTF-8. */
export class PayloadError extends Error {}

/** The parsed payload. Throws `PayloadError` (reason `decode`) when it is not JSON text in UTF-8. */
export function parsePayload(payload: Buffer): unknown {
  if (payload.length === 0) throw new PayloadError('the payload is empty');
  if (!isUtf8(payload)) throw new PayloadError('the payload is not UTF-8');
  try {
    return JSON.parse(payload.toString('utf8'));
  } catch (error) {
    throw new PayloadError(`the payload is not JSON: ${(error as Error).message.slice(0, 200)}`);
  }
}

/** Parses one line (without or with its newline). Throws when the line is not an envelope of a known version. */
export function decodeEnvelope(line: string): Envelope {
  const envelope = JSON.parse(line) as Envelope;
  if (envelope.v !== 1)
    throw new PayloadError(`envelope version ${String(envelope.v)} is not known to this version of Weir`);
  return envelope;
}

/**
 * The line with `forced` in it. It stands first, so every byte after it is the line's own, and a line that a stranger
 * wrote with its keys in another order is no exception. Throws like `decodeEnvelope`.
 */
export function forceLine(line: string, forced: Forced): string {
  if (decodeEnvelope(line).forced !== undefined)
    throw new PayloadError('the line is a replay already and cannot be replayed as another');
  return `{"forced":${JSON.stringify(forced)},${line.slice(line.indexOf('{') + 1)}`;
}

/** The payload's own bytes, as the device sent them. `line` as stored (a leading archive prefix is fine). */
export function payloadBytes(line: string): Buffer {
  const marker = ',"payload":';
  const start = line.indexOf(marker);
  if (start < 0) return Buffer.from(decodeEnvelope(line).payloadText ?? '');
  return Buffer.from(line.slice(start + marker.length, line.lastIndexOf('}')));
}

/** The lines of a packed record. */
export function splitLines(value: Buffer): string[] {
  const lines = value.toString('utf8').split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/** The value of a record of these lines, as `splitLines` reads it. */
export function joinLines(lines: readonly string[]): Buffer {
  return Buffer.from(lines.length === 0 ? '' : `${lines.join('\n')}\n`);
}

/** The readings of an envelope: the same ones that the edge saw when it accepted the publish. */
export function readingsOf(envelope: Envelope): readonly Reading[] {
  return interpretEnvelope(envelope).readings;
}

function interpretEnvelope(envelope: Envelope): Interpretation {
  const payload =
    envelope.payloadText === undefined ? envelope.payload : (JSON.parse(envelope.payloadText) as unknown);
  return interpret(payload, envelope);
}
