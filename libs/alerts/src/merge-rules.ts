import { type AlertRule, alertRule, ruleSetProblems } from '@weir/config/alert-rules';

/** A rule that was made at run time. */
export interface WrittenRule {
  readonly id: string;
  /** As it was written, with units in its values. */
  readonly rule: Readonly<Record<string, unknown>>;
  readonly enabled: boolean;
}

/** What of a rule is not accepted: where in it, and why. */
export interface RuleProblem {
  readonly path: string;
  readonly message: string;
}

/** What a written rule means, or what is wrong with it. */
export function parseRule({
  id,
  rule,
}: Pick<WrittenRule, 'id' | 'rule'>): AlertRule | readonly RuleProblem[] {
  const parsed = alertRule.safeParse({ kind: 'threshold', ...rule, id });
  if (parsed.success) return parsed.data;
  return parsed.error.issues.map(({ path, message }) => ({ path: path.join('.'), message }));
}

export interface MergedRules {
  readonly rules: readonly AlertRule[];
  /** Why a rule is not applied, by its id. */
  readonly problems: ReadonlyMap<string, readonly RuleProblem[]>;
}

/**
 * The rules in force: those of the configuration, and those made at run time, which stand in for one of the same id. A
 * rule that cannot be applied is left out, and so are the rules that are made of it; the others go on.
 */
export function mergeRules(configured: readonly AlertRule[], written: readonly WrittenRule[]): MergedRules {
  const replaced = new Set(written.map(({ id }) => id));
  const problems = new Map<string, readonly RuleProblem[]>();
  let rules = configured.filter(({ id }) => !replaced.has(id));
  for (const one of written) {
    if (!one.enabled) continue;
    const parsed = parseRule(one);
    if ('id' in parsed) rules.push(parsed);
    else problems.set(one.id, parsed);
  }
  for (;;) {
    const found = ruleSetProblems(rules);
    if (found.length === 0) return { rules, problems };
    const wrong = new Map(Map.groupBy(found, ({ index }) => rules[index]?.id ?? ''));
    for (const [id, all] of wrong)
      problems.set(
        id,
        all.map(({ key, message }) => ({ path: key, message })),
      );
    rules = rules.filter(({ id }) => !wrong.has(id));
  }
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const;

/** Milliseconds as settings have them: 90000 is "90s". */
export function durationText(ms: number): string {
  const unit = UNITS.find(([, size]) => ms > 0 && ms % size === 0);
  return unit === undefined ? `${ms}ms` : `${ms / unit[1]}${unit[0]}`;
}

const DURATIONS: ReadonlySet<string> = new Set(['hold', 'over', 'per', 'after', 'within', 'grace']);

/** A rule as weir.yaml would have it: parsed again, it is the same. */
export function writtenRule(rule: AlertRule): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(rule)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [key, DURATIONS.has(key) ? durationText(value as number) : value]),
  );
}
