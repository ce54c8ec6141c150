import type { Alert } from '@weir/api';

/** What of an alert can be matched and grouped by, beside its labels. */
const FIELDS = ['site', 'device', 'rule', 'kind', 'severity', 'metric'] as const;

/** A field or label of an alert; empty when it has none of this name. */
export function fieldOf(alert: Alert, name: string): string {
  const field = FIELDS.find((one) => one === name);
  return field === undefined ? (alert.labels[name] ?? '') : alert[field];
}

/**
 * Whether `text` fits `pattern`, in which * stands for any text. In steps of at most |pattern| · |text|: people's
 * patterns are run on every alert, so no pattern may be slow.
 */
export function fits(pattern: string, text: string): boolean {
  let at = 0;
  let star = -1;
  let mark = 0;
  let p = 0;
  while (at < text.length) {
    if (pattern[p] === '*') {
      star = p++;
      mark = at;
    } else if (pattern[p] === text[at]) {
      p++;
      at++;
    } else if (star >= 0) {
      p = star + 1;
      at = ++mark;
    } else return false;
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

export interface Matcher {
  readonly name: string;
  readonly op: '=' | '!=';
  /** * stands for any text. */
  readonly value: string;
}

/** Whether the alert fits every matcher. */
export function matchesAll(matchers: readonly Matcher[], alert: Alert): boolean {
  return matchers.every(({ name, op, value }) => fits(value, fieldOf(alert, name)) === (op === '='));
}

/** What a notifier wants to know: for each field a list of which one must fit. */
export type Match = Readonly<Partial<Record<(typeof FIELDS)[number], readonly string[] | undefined>>>;

export function isWanted(match: Match, alert: Alert): boolean {
  return FIELDS.every((field) => {
    const patterns = match[field];
    return patterns === undefined || patterns.some((pattern) => fits(pattern, alert[field]));
  });
}
