/** Control packet types of MQTT 3.1.1, the upper four bits of a frame's first byte (table 2.1). */
export const TYPE = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  unsubscribe: 10,
  pingreq: 12,
  disconnect: 14,
} as const;

/** Why the gate ends a connection; the label of a metric, so the list is closed. */
export const REFUSALS = [
  'malformed',
  'packet-too-large',
  'packet-id-zero',
  'ill-formed-text',
  'topic-too-long',
  'connect-timeout',
  'connect-refused',
  'connections',
  'keepalive',
  'outward-buffer',
  'partial-memory',
] as const;
export type GateRefusal = (typeof REFUSALS)[number];

/** What is wrong with a frame, or 0 when nothing is. */
export type Verdict = 0 | GateRefusal;

/**
 * Length in bytes of the fixed header at `at` (2 to 5); 0 when it is not whole yet, -1 when the remaining length has
 * more than four bytes.
 */
export function headerLength(bytes: Buffer, at: number, end: number): number {
  for (let i = at + 1; i < at + 5; i++) {
    if (i >= end) return 0;
    if ((bytes[i] as number) < 128) return i - at + 1;
  }
  return -1;
}

/** The remaining length of a whole fixed header, 0 to 268,435,455. */
export function remainingLength(bytes: Buffer, at: number): number {
  let length = 0;
  let shift = 0;
  for (let i = at + 1; ; i++) {
    const digit = bytes[i] as number;
    length += (digit & 127) << shift;
    if (digit < 128) return length;
    shift += 7;
  }
}

/** [MQTT-2.2.2-2] Flags that a type must have; publish has flags of its own; -1: a client may not send it. */
const FLAGS = [-1, 0, -1, -2, 0, 0, 2, 0, 2, -1, 2, -1, 0, -1, 0, -1];

/** Checks what the first byte and the announced length alone can tell. */
export function checkHeader(first: number, length: number): Verdict {
  const type = first >> 4;
  const wanted = FLAGS[type] as number;
  if (wanted === -2) {
    const qos = (first >> 1) & 3;
    // [MQTT-3.3.1-4] no QoS 3; [MQTT-3.3.1-2] no DUP with QoS 0
    if (qos === 3 || (qos === 0 && (first & 8) !== 0)) return 'malformed';
    return length < 3 ? 'malformed' : 0;
  }
  if (wanted === -1 || (first & 15) !== wanted) return 'malformed';
  if (type >= TYPE.puback && type <= TYPE.pubcomp) return length === 2 ? 0 : 'malformed';
  if (type === TYPE.pingreq || type === TYPE.disconnect) return length === 0 ? 0 : 'malformed';
  return 0;
}

/** Whole QoS 0 publishes in packets that were checked or are still to be checked. */
export function countQos0(bytes: Buffer): number {
  let count = 0;
  for (let at = 0; at < bytes.length; ) {
    const header = headerLength(bytes, at, bytes.length);
    if (header <= 0) break;
    const first = bytes[at] as number;
    at += header + remainingLength(bytes, at);
    if (at <= bytes.length && first >> 4 === TYPE.publish && (first & 6) === 0) count++;
  }
  return count;
}
