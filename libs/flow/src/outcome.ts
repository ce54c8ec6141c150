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

/**
 * Every record ends in exactly one of these, settled in one place. Outcomes of a batch are sparse: a record
 * that is not named was stored.
 */
export type Outcome =
  | { readonly kind: 'stored' }
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'dropped'; readonly reason: DropReason }
  | { readonly kind: 'buried'; readonly reason: DeadLetterReason; readonly error: Error }
  | { readonly kind: 'returned'; readonly error: Error };

/** Index in the batch → outcome, for every record that was not simply stored. */
export type SparseOutcomes = ReadonlyMap<number, Outcome>;
