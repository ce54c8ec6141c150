import type { Config } from '@weir/config';
import type { ReadingClass } from '@weir/topology';
import { matches } from './auth/filters.ts';
import { splitList } from './options.ts';

type Settings = Pick<Config['edge']['forward'], 'classes' | 'criticalMetrics'>;
type Rule = Settings['classes'][number];

/** What is known of readings before they are decoded. */
export interface ReadingPlace {
  readonly site: string;
  readonly device: string;
  /** When the topic names it. */
  readonly metric?: string | undefined;
}

/** Rules that decide over the readings of one place, first match first; undefined: all of them are normal. */
export type ClassRules = readonly Pick<Rule, 'metric' | 'above' | 'below' | 'class'>[] | undefined;
export type ClassesOf = (place: ReadingPlace) => ClassRules;

const fits = (wanted: string, name: string): boolean => wanted === '*' || wanted === name;

/** `edge.forward.classes`, by place. A publish over HTTP has the topic that it would have over MQTT. */
export function classRules({ classes, criticalMetrics }: Settings, telemetryTopic: string): ClassesOf {
  const byMetric = splitList(criticalMetrics).map(
    (metric): Rule => ({ site: '*', device: '*', metric, class: 'critical' }),
  );
  const rules = [...classes, ...byMetric];
  if (rules.length === 0) return () => undefined;
  return ({ site, device, metric }) => {
    const base = telemetryTopic.replace('{site}', site).replace('{device}', device);
    const topic = metric === undefined ? base : `${base}/${metric}`;
    const own = rules.filter(
      (rule) =>
        fits(rule.site, site) &&
        fits(rule.device, device) &&
        (metric === undefined || fits(rule.metric, metric)) &&
        (rule.topic === undefined || matches(rule.topic, topic)),
    );
    return own.some((rule) => rule.class === 'critical') ? own : undefined;
  };
}

/** With `above` and `below` a value is meant that lies outside of both. */
export function classOf(rules: ClassRules, metric: string, value: number): ReadingClass {
  if (rules === undefined) return 'normal';
  for (const rule of rules) {
    if (!fits(rule.metric, metric)) continue;
    const { above, below } = rule;
    if (above === undefined && below === undefined) return rule.class;
    if ((above !== undefined && value > above) || (below !== undefined && value < below)) return rule.class;
  }
  return 'normal';
}

/** Which readings travel alone, with their device in the routing key: `edge.forward.perReading`. */
export function singleReadings(
  routes: Config['edge']['forward']['perReading'],
): ((site: string, device: string, metric: string) => boolean) | undefined {
  if (routes.length === 0) return undefined;
  return (site, device, metric) =>
    routes.some(
      (route) => fits(route.site, site) && fits(route.device, device) && fits(route.metric, metric),
    );
}
