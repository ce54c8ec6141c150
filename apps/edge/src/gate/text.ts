import { isUtf8 } from 'node:buffer';
import type { Verdict } from './frame.ts';

const PLUS = 0x2b;
const HASH = 0x23;
const SLASH = 0x2f;

/** [MQTT-1.5.3-1], [MQTT-1.5.3-2]: well-formed UTF-8 (so no U+D800..DFFF) without U+0000. */
export function checkText(bytes: Buffer, from: number, to: number): Verdict {
  let ascii = true;
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number;
    if (byte === 0) return 'ill-formed-text';
    if (byte > 127) ascii = false;
  }
  return ascii || isUtf8(bytes.subarray(from, to)) ? 0 : 'ill-formed-text';
}

/** The topic of a PUBLISH: as `checkText`, and [MQTT-3.3.2-2] without wildcards, [MQTT-4.7.3-1] not empty. */
export function checkTopic(bytes: Buffer, from: number, to: number): Verdict {
  if (from === to) return 'malformed';
  let ascii = true;
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number;
    if (byte === 0) return 'ill-formed-text';
    if (byte === PLUS || byte === HASH) return 'malformed';
    if (byte > 127) ascii = false;
  }
  return ascii || isUtf8(bytes.subarray(from, to)) ? 0 : 'ill-formed-text';
}

/** A topic filter: as `checkText`, and [MQTT-4.7.1-2] `#` last and alone, [MQTT-4.7.1-3] `+` alone in its level. */
export function checkFilter(bytes: Buffer, from: number, to: number): Verdict {
  if (from === to) return 'malformed';
  const text = checkText(bytes, from, to);
  if (text !== 0) return text;
  for (let i = from; i < to; i++) {
    const byte = bytes[i] as number;
    if (byte !== PLUS && byte !== HASH) continue;
    if (i > from && bytes[i - 1] !== SLASH) return 'malformed';
    if (byte === HASH ? i + 1 !== to : i + 1 < to && bytes[i + 1] !== SLASH) return 'malformed';
  }
  return 0;
}
