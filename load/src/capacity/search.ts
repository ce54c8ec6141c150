/** One step of a search: a factor of the scenario's rates, and whether the thresholds held. */
export interface Step {
  readonly factor: number;
  readonly passed: boolean;
}

/**
 * The next factor to try: doubles while all passed, halves while none did, then goes between the highest that passed and
 * the lowest that failed; null when they are near enough.
 * @param precision 0.1: the answer may be a tenth too low
 */
export function nextFactor(steps: readonly Step[], first: number, precision: number): number | null {
  const good = Math.max(0, ...steps.filter(({ passed }) => passed).map(({ factor }) => factor));
  const bad = Math.min(
    Number.POSITIVE_INFINITY,
    ...steps.filter(({ passed }) => !passed).map(({ factor }) => factor),
  );
  if (steps.length === 0) return first;
  if (bad === Number.POSITIVE_INFINITY) return good * 2;
  if (good === 0) return bad / 2;
  return bad / good <= 1 + precision ? null : Math.sqrt(good * bad);
}
