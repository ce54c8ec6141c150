import { createHash } from 'node:crypto';
import type { SeriesKey } from './types.ts';

/** Key of a map; names hold no NUL (`isName`). */
export const seriesKeyText = ({ rule, site, device, metric }: SeriesKey): string =>
  `${rule}\0${site}\0${device}\0${metric}`;

/**
 * Id of the alert of a rule and series that began at `startedAt` (event time, epoch milliseconds): a UUID of version 8
 * (RFC 9562, 5.8) from SHA-256, so that whoever evaluates the same readings finds the same id.
 */
export function alertId(series: SeriesKey, startedAt: number): string {
  const hash = createHash('sha256')
    .update(`${seriesKeyText(series)}\0${startedAt}`)
    .digest()
    .subarray(0, 16);
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x80;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
