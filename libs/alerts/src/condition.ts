import type { Condition } from '@weir/config/alert-rules';

/** @param fires whether a rule fires for the device in question */
export function holds(when: Condition, fires: (rule: string) => boolean): boolean {
  if (typeof when === 'string') return fires(when);
  if ('not' in when) return !holds(when.not, fires);
  if ('all' in when) return when.all.every((one) => holds(one, fires));
  return when.any.some((one) => holds(one, fires));
}
