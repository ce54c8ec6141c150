import { type AlertRule, memberRules, type RuleKind, type RuleOf } from '@weir/config/alert-rules';

// A rule set sees as many pairs of site and metric as the installation has; beyond this the cache begins anew.
const CACHE_LIMIT = 10_000;

/** Rules that look at every reading of a metric. */
export type ReadingRule = RuleOf<'threshold' | 'rate'>;
/** Rules made of other rules. */
export type DerivedRule = RuleOf<'composite' | 'correlation'>;

const isReadingRule = (rule: AlertRule): rule is ReadingRule =>
  rule.kind === 'threshold' || rule.kind === 'rate';

const NONE: readonly DerivedRule[] = [];

export interface RuleSet {
  readonly all: readonly AlertRule[];
  get(id: string): AlertRule | undefined;
  ofKind<K extends RuleKind>(kind: K): readonly RuleOf<K>[];
  /** Rules that look at the readings of a metric of a site; their device must still be compared. */
  watching(site: string, metric: string): readonly ReadingRule[];
  /** `missing` rules for a metric of a site; likewise. */
  expecting(site: string, metric: string): readonly RuleOf<'missing'>[];
  /** The rules that are made of this one, directly. */
  madeOf(id: string): readonly DerivedRule[];
}

export const covers = (
  rule: { readonly site: string; readonly device: string },
  site: string,
  device: string,
) => (rule.site === '*' || rule.site === site) && (rule.device === '*' || rule.device === device);

/** @param rules without problems (`ruleSetProblems`) */
export function ruleSet(rules: readonly AlertRule[]): RuleSet {
  const byId = new Map(rules.map((rule) => [rule.id, rule]));
  const derived = rules.filter(
    (rule): rule is DerivedRule => rule.kind === 'composite' || rule.kind === 'correlation',
  );
  const cached = <R extends RuleOf<'threshold' | 'rate' | 'missing'>>(list: readonly R[]) => {
    const cache = new Map<string, readonly R[]>();
    return (site: string, metric: string): readonly R[] => {
      const key = `${site}\0${metric}`;
      let found = cache.get(key);
      if (found === undefined) {
        if (cache.size >= CACHE_LIMIT) cache.clear();
        found = list.filter((rule) => rule.metric === metric && (rule.site === '*' || rule.site === site));
        cache.set(key, found);
      }
      return found;
    };
  };
  const ofKind = <K extends RuleKind>(kind: K) =>
    rules.filter((rule): rule is RuleOf<K> => rule.kind === kind);
  const madeOf = new Map<string, DerivedRule[]>();
  for (const rule of derived) {
    for (const id of new Set(memberRules(rule))) madeOf.set(id, [...(madeOf.get(id) ?? []), rule]);
  }
  return {
    all: rules,
    get: (id) => byId.get(id),
    ofKind,
    watching: cached(rules.filter(isReadingRule)),
    expecting: cached(ofKind('missing')),
    madeOf: (id) => madeOf.get(id) ?? NONE,
  };
}
