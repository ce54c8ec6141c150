import type { ThresholdRule } from './threshold.ts';

// A rule set sees as many pairs of site and metric as the installation has; beyond this the cache begins anew.
const CACHE_LIMIT = 10_000;

export interface RuleSet {
  readonly ids: readonly string[];
  /** The rules that watch a metric of a site; their device must still be compared. */
  watching(site: string, metric: string): readonly ThresholdRule[];
}

export function ruleSet(rules: readonly ThresholdRule[]): RuleSet {
  const cache = new Map<string, readonly ThresholdRule[]>();
  return {
    ids: rules.map(({ id }) => id),
    watching: (site, metric) => {
      const key = `${site}\0${metric}`;
      let found = cache.get(key);
      if (found === undefined) {
        if (cache.size >= CACHE_LIMIT) cache.clear();
        found = rules.filter((rule) => rule.metric === metric && (rule.site === '*' || rule.site === site));
        cache.set(key, found);
      }
      return found;
    },
  };
}
