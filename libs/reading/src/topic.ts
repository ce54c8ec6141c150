import { isName, LIMITS } from './reading.ts';

export type TopicVerdict =
  | {
      readonly kind: 'telemetry';
      readonly site: string;
      readonly device: string;
      readonly metric: string | undefined;
    }
  | { readonly kind: 'event'; readonly site: string; readonly device: string; readonly event: string }
  | { readonly kind: 'foreign'; readonly message: string };

export interface TopicTemplates {
  readonly telemetry: string;
  readonly events: string;
  readonly commands: string;
}

type Match = Readonly<Record<string, string>>;

function matcher(template: string): (levels: readonly string[]) => Match | undefined {
  const parts = template.split('/');
  return (levels) => {
    if (levels.length !== parts.length) return undefined;
    const found: Record<string, string> = {};
    for (let i = 0; i < parts.length; i++) {
      const part = parts[i] as string;
      const level = levels[i] as string;
      if (part.startsWith('{')) found[part.slice(1, -1)] = level;
      else if (part !== level) return undefined;
    }
    return found;
  };
}

const BYTES: Readonly<Record<string, number>> = {
  site: LIMITS.siteBytes,
  device: LIMITS.deviceBytes,
  metric: LIMITS.metricBytes,
  kind: LIMITS.metricBytes,
  name: LIMITS.metricBytes,
};

/** Reads topics by the configured templates (`{site}` and `{device}` are required in each). */
export function topicReader(templates: TopicTemplates): (topic: string) => TopicVerdict {
  for (const [name, template] of Object.entries(templates)) {
    for (const field of ['{site}', '{device}']) {
      if (!template.split('/').includes(field))
        throw new Error(`the topic template ${name} ("${template}") needs the level ${field}`);
    }
  }
  const plain = matcher(templates.telemetry);
  const withMetric = matcher(`${templates.telemetry}/{metric}`);
  const events = matcher(templates.events);
  return (topic) => {
    const levels = topic.split('/');
    const telemetry = plain(levels) ?? withMetric(levels);
    const found = telemetry ?? events(levels);
    if (found === undefined)
      return { kind: 'foreign', message: 'the topic follows none of the configured templates' };
    for (const [field, level] of Object.entries(found)) {
      if (!isName(level, BYTES[field] ?? LIMITS.metricBytes)) {
        return {
          kind: 'foreign',
          message: `the topic's ${field} is empty, too long or holds one of . * # + $ " \\ or a space`,
        };
      }
    }
    const { site, device } = found as { site: string; device: string };
    if (telemetry !== undefined) return { kind: 'telemetry', site, device, metric: telemetry.metric };
    return { kind: 'event', site, device, event: found.kind ?? 'event' };
  };
}

/** The topic of one command of a device. */
export function commandTopic(
  templates: Pick<TopicTemplates, 'commands'>,
  site: string,
  device: string,
  name: string,
): string {
  return templates.commands.replace('{site}', site).replace('{device}', device).replace('{name}', name);
}

/** The topic filter that covers a device's own commands. */
export function commandFilter(templates: TopicTemplates, site: string, device: string): string {
  return commandTopic(templates, site, device, '+');
}
