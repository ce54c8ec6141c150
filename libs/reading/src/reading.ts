import type { DeadLetterReason } from '@weir/flow';

/** One measured value of one metric of one device. */
export interface Reading {
  readonly metric: string;
  /** Event time, epoch milliseconds: the device's own stamp, else the arrival. */
  readonly ts: number;
  /** True when the device stamped the reading itself. */
  readonly stamped: boolean;
  /** The device's sequence number; absent when it sends none. */
  readonly seq: number | undefined;
  /** Finite. */
  readonly value: number;
  readonly unit: string | undefined;
}

/** An element of a payload that is not a reading. */
export interface Refusal {
  /** Index in an array payload; 0 for any other form. */
  readonly index: number;
  readonly reason: DeadLetterReason;
  readonly message: string;
}

export const LIMITS = {
  siteBytes: 64,
  deviceBytes: 128,
  metricBytes: 128,
  unitBytes: 32,
  /** 2000-01-01: an earlier stamp is taken for seconds sent as milliseconds, or a clock that was never set. */
  minTs: 946_684_800_000,
  /** The largest time a JavaScript Date holds. */
  maxTs: 8_640_000_000_000_000,
} as const;

// `.`, `*` and `#` would change the meaning of a routing key, `+` and `/` that of a topic; quotes and backslashes
// would need escaping in the envelope.
const NAME = /^[^\p{C}\p{Z}"\\/.*#+$]+$/u;
const RESERVED_NAMES = new Set(['__proto__', 'constructor', 'prototype']);

/** Whether `name` may be a site, device or metric of at most `maxBytes` UTF-8 bytes. */
export function isName(name: string, maxBytes: number): boolean {
  return (
    name.length > 0 &&
    name.length <= maxBytes &&
    NAME.test(name) &&
    name.isWellFormed() &&
    !RESERVED_NAMES.has(name) &&
    (name.length * 3 <= maxBytes || Buffer.byteLength(name) <= maxBytes)
  );
}
