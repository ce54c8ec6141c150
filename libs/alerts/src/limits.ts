/** The limits of a rule; at least one of `above` and `below` is set. */
export interface Limits {
  /** The condition holds above this value, or below that one. */
  readonly above?: number | undefined;
  readonly below?: number | undefined;
  /** A firing alert resolves at this value or beyond on the good side; absent: as soon as the condition is false. */
  readonly clear?: number | undefined;
}

export function meetsLimits({ above, below }: Limits, value: number): boolean {
  return (above !== undefined && value > above) || (below !== undefined && value < below);
}

/** Whether a firing alert may end with this value. */
export function isClear(limits: Limits, value: number): boolean {
  if (meetsLimits(limits, value)) return false;
  if (limits.clear === undefined) return true;
  return limits.above !== undefined ? value <= limits.clear : value >= limits.clear;
}

/** The limit that `value` is measured against; of two, the one it lies beyond or nearer to. */
function limitFor({ above, below }: Limits, value: number): number {
  if (above === undefined) return below ?? Number.NaN;
  if (below === undefined) return above;
  return value - below < above - value ? below : above;
}

/** A value seen against the limits of a rule. */
export function compareWithLimits(
  limits: Limits,
  value: number,
): { readonly met: boolean; readonly cleared: boolean; readonly value: number; readonly threshold: number } {
  return {
    met: meetsLimits(limits, value),
    cleared: isClear(limits, value),
    value,
    threshold: limitFor(limits, value),
  };
}
