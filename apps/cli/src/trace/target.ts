import { isName, LIMITS } from '@weir/reading';
import { READINGS_PARTITIONS } from '@weir/topology';
import { usage } from '../settings.ts';

/** What a trace is about. */
export type Target =
  | { readonly kind: 'newest'; readonly site: string; readonly device: string }
  | { readonly kind: 'at'; readonly site: string; readonly device: string; readonly ts: number }
  | { readonly kind: 'seq'; readonly site: string; readonly device: string; readonly seq: number }
  | { readonly kind: 'spool'; readonly edge: string; readonly n: number }
  | {
      readonly kind: 'record';
      readonly partition: number;
      readonly offset: bigint;
      /** Of the record; the first one when absent. */
      readonly line?: number;
    };

const FORMS = `site/device            its newest reading
  site/device@<time>     the one of this event time, RFC 3339 or epoch milliseconds
  site/device#<seq>      the one with this sequence number
  <edge>/<spool>:<n>     a line by its place in an edge's spool
  <partition>:<offset>   a record of the readings topic; with :<line>, that line of it`;

const timeOf = (text: string): number => {
  if (/^\d{10,16}$/.test(text)) return Number(text);
  return /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
};

/** Reads the argument of `weir trace`. Throws a usage error that lists the forms. */
export function parseTarget(text: string): Target {
  const record = /^(\d{1,5}):(\d{1,19})(?::(\d{1,7}))?$/.exec(text);
  if (record !== null) {
    const partition = Number(record[1]);
    if (partition >= READINGS_PARTITIONS)
      throw usage(`Partitions of the readings are 0 to ${READINGS_PARTITIONS - 1}; got ${partition}.`);
    const line = record[3] === undefined ? {} : { line: Number(record[3]) };
    return { kind: 'record', partition, offset: BigInt(record[2] as string), ...line };
  }
  // The id of a spool is 12 hexadecimal digits; a device may hardly be called so.
  const spool = /^(.+\/[0-9a-f]{12}):(\d{1,16})$/.exec(text);
  if (spool !== null) return { kind: 'spool', edge: spool[1] as string, n: Number(spool[2]) };
  const slash = text.indexOf('/');
  const site = text.slice(0, slash);
  const rest = text.slice(slash + 1);
  if (slash > 0 && isName(site, LIMITS.siteBytes)) {
    const hash = /^([^#]+)#(\d{1,16})$/.exec(rest);
    if (hash !== null && isName(hash[1] as string, LIMITS.deviceBytes))
      return { kind: 'seq', site, device: hash[1] as string, seq: Number(hash[2]) };
    const at = rest.lastIndexOf('@');
    const ts = at > 0 ? timeOf(rest.slice(at + 1)) : Number.NaN;
    const device = rest.slice(0, at);
    if (Number.isFinite(ts) && isName(device, LIMITS.deviceBytes)) return { kind: 'at', site, device, ts };
    if (isName(rest, LIMITS.deviceBytes)) return { kind: 'newest', site, device: rest };
  }
  throw usage(`"${text}" names no reading. These forms do:\n  ${FORMS}`);
}

export const TARGET_FORMS = FORMS;
