/** Why a reading or message became a dead letter: the closed list of conventions. */
export const DEAD_LETTER_REASONS = [
  'decode',
  'schema',
  'range',
  'clock-skew',
  'late',
  'sink-data',
  'sink-unavailable',
  'timeout',
  'poison',
  'expired',
  'maxlen',
  'delivery-limit',
  'rejected',
  'unroutable',
] as const;
export type DeadLetterReason = (typeof DEAD_LETTER_REASONS)[number];

/** Why a reading was dropped without a dead letter; every drop is counted under one of these. */
export const DROP_REASONS = [
  'qos0-pressure',
  'spool-drop-oldest',
  'spool-drop-newest',
  'rate-limit',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];
