import type { Limits } from './types.ts';

export const LIMITS: Limits = {
  allowedLagMs: 60_000,
  stopAfterMs: 10_000,
  stallAfterMs: 15_000,
  holdMs: 10_000,
  clearMs: 15_000,
  lossMarginMs: 3_600_000,
};
