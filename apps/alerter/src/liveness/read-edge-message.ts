import type { EdgeProgress } from '@weir/alerts';

/** `<edge id>/<spool id>` → edge id: an edge with a new spool is the same edge. */
export function edgeName(edge: string): string {
  const slash = edge.lastIndexOf('/');
  return slash < 0 ? edge : edge.slice(0, slash);
}

/** A device that an edge heard. */
export interface Heard {
  /** `-`: not known. */
  readonly site: string;
  readonly device: string;
  readonly edge: string;
  /** Epoch milliseconds. */
  readonly at: number;
}

function parse(body: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString());
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** How far an edge is; undefined when the message does not say it. */
export function readProgress(body: Buffer): EdgeProgress | undefined {
  const { edge, at, since, hlc } = parse(body) ?? {};
  if (typeof edge !== 'string' || typeof hlc !== 'string') return undefined;
  if (!Number.isSafeInteger(at) || !Number.isSafeInteger(since)) return undefined;
  return { edge: edgeName(edge), upTo: at as number, since: since as number, hlc };
}

/** The devices of a message of `EDGE_KEYS.alive`; undefined when it is none. */
export function readAlive(body: Buffer): readonly Heard[] | undefined {
  const { edge, sites } = parse(body) ?? {};
  if (typeof edge !== 'string' || typeof sites !== 'object' || sites === null) return undefined;
  const found: Heard[] = [];
  for (const [site, devices] of Object.entries(sites as Record<string, unknown>)) {
    if (typeof devices !== 'object' || devices === null) return undefined;
    for (const [device, at] of Object.entries(devices)) {
      if (!Number.isSafeInteger(at)) return undefined;
      found.push({ site, device, edge: edgeName(edge), at: at as number });
    }
  }
  return found;
}

/** What the edge says of a device, not the device itself. */
const BY_THE_EDGE = new Set(['disconnected', 'will']);

/** The device that an event speaks for; undefined when it tells nothing of its life. */
export function readEvent(body: Buffer): Heard | undefined {
  const { kind, site, device, edge, at } = parse(body) ?? {};
  if (typeof kind !== 'string' || BY_THE_EDGE.has(kind)) return undefined;
  if (typeof site !== 'string' || typeof device !== 'string' || typeof edge !== 'string') return undefined;
  return Number.isSafeInteger(at) ? { site, device, edge: edgeName(edge), at: at as number } : undefined;
}
