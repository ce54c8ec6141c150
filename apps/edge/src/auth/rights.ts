import { commandFilter, type TopicTemplates, type TopicVerdict } from '@weir/reading';
import { covers, matches } from './filters.ts';

/** Who a connection or request belongs to, and what it may do. */
export interface Principal {
  /** The device; in anonymous mode the client id. */
  readonly device: string;
  /** null in anonymous mode: any site. */
  readonly site: string | null;
  mayPublish(topic: string, verdict: TopicVerdict): boolean;
  maySubscribe(filter: string): boolean;
}

export interface Grants {
  readonly device: string;
  readonly site: string;
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** A device: its own telemetry, events and commands, and what its lists add. */
export function devicePrincipal(grants: Grants, templates: TopicTemplates): Principal {
  const { device, site, publish, subscribe } = grants;
  const own = commandFilter(templates, site, device);
  // the whole subtree of its commands, whatever the filter's shape
  const filters = [own, own.endsWith('/+') ? `${own.slice(0, -1)}#` : own, ...subscribe];
  return {
    device,
    site,
    mayPublish: (topic, verdict) =>
      (verdict.kind !== 'foreign' && verdict.site === site && verdict.device === device) ||
      (!topic.startsWith('$SYS/') && publish.some((filter) => matches(filter, topic))),
    maySubscribe: (filter) => filters.some((allowed) => covers(allowed, filter)),
  };
}

/** Development mode: every topic of the templates, every subscription but `$` topics. */
export function anonymousPrincipal(clientId: string, templates: TopicTemplates): Principal {
  const commands = templates.commands.replace(/\{[^}]*\}/g, '+');
  return {
    device: clientId,
    site: null,
    mayPublish: (topic, verdict) => verdict.kind !== 'foreign' || matches(commands, topic),
    maySubscribe: (filter) => !filter.startsWith('$'),
  };
}
