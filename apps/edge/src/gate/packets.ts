import type { Verdict } from './frame.ts';
import { checkFilter, checkText, checkTopic } from './text.ts';

const u16 = (bytes: Buffer, at: number): number => ((bytes[at] as number) << 8) | (bytes[at + 1] as number);

/** Variable header of a PUBLISH whose body lies in [from, to). */
export function checkPublish(
  bytes: Buffer,
  from: number,
  to: number,
  qos: number,
  topicBytes: number,
): Verdict {
  const topicEnd = from + 2 + u16(bytes, from);
  if (topicEnd + (qos > 0 ? 2 : 0) > to) return 'malformed';
  if (topicEnd - from - 2 > topicBytes) return 'topic-too-long';
  // [MQTT-2.3.1-1] a packet id is never 0
  if (qos > 0 && u16(bytes, topicEnd) === 0) return 'packet-id-zero';
  return checkTopic(bytes, from + 2, topicEnd);
}

/** PUBACK, PUBREC, PUBREL and PUBCOMP hold nothing but their packet id. */
export function checkAck(bytes: Buffer, from: number): Verdict {
  return u16(bytes, from) === 0 ? 'packet-id-zero' : 0;
}

/** SUBSCRIBE (filters each with a QoS) or UNSUBSCRIBE (filters alone). */
export function checkFilters(
  bytes: Buffer,
  from: number,
  to: number,
  withQos: boolean,
  topicBytes: number,
): Verdict {
  if (to - from < 2) return 'malformed';
  if (u16(bytes, from) === 0) return 'packet-id-zero';
  let at = from + 2;
  // [MQTT-3.8.3-3], [MQTT-3.10.3-2] at least one filter
  if (at >= to) return 'malformed';
  while (at < to) {
    if (at + 2 > to) return 'malformed';
    const end = at + 2 + u16(bytes, at);
    if (end + (withQos ? 1 : 0) > to) return 'malformed';
    if (end - at - 2 > topicBytes) return 'topic-too-long';
    const filter = checkFilter(bytes, at + 2, end);
    if (filter !== 0) return filter;
    // [MQTT-3-8.3-4] QoS 0, 1 or 2, and no reserved bit
    if (withQos && (bytes[end] as number) > 2) return 'malformed';
    at = end + (withQos ? 1 : 0);
  }
  return 0;
}

/** What the gate takes from a CONNECT. `returnCode` is what a CONNACK must say, 0 when the broker decides. */
export interface Connect {
  readonly verdict: Verdict;
  readonly returnCode: number;
  /** Seconds, as the client asked. */
  readonly keepalive: number;
  /** Where the two bytes of the keepalive lie. */
  readonly keepaliveAt: number;
}

const refused = (verdict: Verdict, returnCode = 0): Connect => ({
  verdict,
  returnCode,
  keepalive: 0,
  keepaliveAt: 0,
});
const FLAG = {
  reserved: 1,
  clean: 2,
  will: 4,
  willQos: 24,
  willRetain: 32,
  password: 64,
  username: 128,
} as const;

/** A CONNECT whose body lies in [from, to): MQTT 3.1.1, and 3.1 for old devices. */
export function checkConnect(bytes: Buffer, from: number, to: number, topicBytes: number): Connect {
  if (to - from < 10) return refused('malformed');
  const nameEnd = from + 2 + u16(bytes, from);
  if (nameEnd + 4 > to) return refused('malformed');
  const name = bytes.toString('latin1', from + 2, nameEnd);
  if (name !== 'MQTT' && name !== 'MQIsdp') return refused('malformed'); // [MQTT-3.1.2-1]
  // [MQTT-3.1.2-2] unknown level: return code 1
  if (bytes[nameEnd] !== (name === 'MQTT' ? 4 : 3)) return refused('connect-refused', 1);
  const flags = bytes[nameEnd + 1] as number;
  const hasWill = (flags & FLAG.will) !== 0;
  const hasUsername = (flags & FLAG.username) !== 0;
  const hasPassword = (flags & FLAG.password) !== 0;
  // [MQTT-3.1.2-3], [-11], [-13], [-14], [-15], [-22]
  if ((flags & FLAG.reserved) !== 0 || (flags & FLAG.willQos) === FLAG.willQos) return refused('malformed');
  if (!hasWill && (flags & (FLAG.willQos | FLAG.willRetain)) !== 0) return refused('malformed');
  if (hasPassword && !hasUsername) return refused('malformed');

  let at = nameEnd + 4;
  let verdict: Verdict = 0;
  const field = (kind: 'text' | 'topic' | 'bytes'): number => {
    if (verdict !== 0) return -1;
    const start = at + 2;
    const end = start <= to ? start + u16(bytes, at) : to + 1;
    if (end > to) {
      verdict = 'malformed';
      return -1;
    }
    at = end;
    if (kind === 'topic' && end - start > topicBytes) verdict = 'topic-too-long';
    else if (kind === 'topic') verdict = checkTopic(bytes, start, end);
    else if (kind === 'text') verdict = checkText(bytes, start, end);
    return end - start;
  };
  const clientIdBytes = field('text');
  if (hasWill) {
    field('topic');
    field('bytes');
  }
  if (hasUsername) field('text');
  if (hasPassword) field('bytes');
  if (verdict === 0 && at !== to) verdict = 'malformed';
  if (verdict !== 0) return refused(verdict);
  // [MQTT-3.1.3-8] a zero-length client id needs a clean session: return code 2
  if (clientIdBytes === 0 && (flags & FLAG.clean) === 0) return refused('connect-refused', 2);
  return { verdict: 0, returnCode: 0, keepalive: u16(bytes, nameEnd + 2), keepaliveAt: nameEnd + 2 };
}
