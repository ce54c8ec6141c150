import { type DeadLetter, isName, LIMITS, type TopicTemplates, topicReader } from '@weir/reading';

/** What a topic or path names. */
export interface NamedOrigin {
  readonly site: string;
  readonly device: string;
  readonly metric?: string | undefined;
}

/** Null when the origin is no address of a device. */
export type OriginReader = (system: DeadLetter['originSystem'], origin: string) => NamedOrigin | null;

const PATH = /^\/ingest\/v1\/([^/?]+)\/([^/?]+)(?:\/([^/?]+))?/;

/** Reads topics by the templates of the edge, and the paths of its HTTP door. */
export function originReader(templates: TopicTemplates): OriginReader {
  const readTopic = topicReader(templates);
  return (system, origin) => {
    if (system === 'mqtt') {
      const verdict = readTopic(origin);
      if (verdict.kind === 'foreign') return null;
      const { site, device } = verdict;
      return { site, device, ...(verdict.kind === 'telemetry' ? { metric: verdict.metric } : {}) };
    }
    const match = system === 'http' ? PATH.exec(origin) : null;
    if (match === null) return null;
    try {
      const [site, device, metric] = match.slice(1).map((part) => part && decodeURIComponent(part));
      if (site === undefined || !isName(site, LIMITS.siteBytes)) return null;
      if (device === undefined || !isName(device, LIMITS.deviceBytes)) return null;
      return { site, device, metric };
    } catch {
      return null; // not valid percent-encoding
    }
  };
}
