import { type AlertRule, memberRules, type RuleKind, type RuleOf } from '@weir/config/alert-rules';

// A rule set sees as many pairs of site and metric as the installation has; beyond this the cache begins anew.
const CACHE_LIMIT = 10_000;

/** Rules that look at every reading of a metric. */
export type ReadingRule = RuleOf<'threshold' | 'rate'>;
/** Rules made of other rules. */
export type DerivedRule = RuleOf<'composite' | 'correlation'>;

const isReadingRule = (rule: AlertRule): rule is ReadingRule =>
  rule.kind === 'threshold' || rule.kind === 'rate';

export interface RuleSet {
  readonly all: readonly AlertRule[];
  get(id: string): AlertRule | undefined;
  ofKind<K extends RuleKind>(kind: K): readonly RuleOf<K>[];
  /** Rules that look at the readings of a metric of a site; their device must still be compared. */
  watching(site: string, metric: string): readonly ReadingRule[];
  /** `missing` rules for a metric of a site; likewise. */
  expecting(site: string, metric: string): readonly RuleOf<'missing'>[];
  /** Rules made of others, each after those that it is made of. */
  readonly derived: readonly DerivedRule[];
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
  const derived: DerivedRule[] = [];
  const add = (rule: AlertRule | undefined): void => {
    if (rule === undefined || (rule.kind !== 'composite' && rule.kind !== 'correlation')) return;
    if (derived.includes(rule)) return;
    for (const id of memberRules(rule)) add(byId.get(id));
    derived.push(rule);
  };
  for (const rule of rules) add(rule);
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
  return {
    all: rules,
    get: (id) => byId.get(id),
    ofKind,
    watching: cached(rules.filter(isReadingRule)),
    expecting: cached(ofKind('missing')),
    derived,
    madeOf: (id) => derived.filter((rule) => memberRules(rule).includes(id)),
  };
}
