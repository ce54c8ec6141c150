import { fineSpan, rate, UNKNOWN } from '../format.ts';

export const lasting = (ms: number | null): string =>
  ms === null ? UNKNOWN : ms === 0 ? '0 s' : fineSpan(ms);

/** How the lag changes: "+12 /s" grows, "−3.5 /s" shrinks. */
export function velocity(value: number | null): string {
  if (value === null || value === 0) return value === null ? UNKNOWN : '0 /s';
  return `${value < 0 ? '−' : '+'}${rate(Math.abs(value))} /s`;
}
