import type { Alert } from '@weir/api';
import { measure } from '../format.ts';
import { href } from '../route.ts';

/** What led to an alert: in the words of who raised it, or as figures. */
export function condition({ metric, value, threshold, labels }: Alert): string {
  const limit = threshold === null ? '' : ` (limit ${measure(threshold)})`;
  return labels.text ?? `${metric} ${measure(value)}${limit}`.trim();
}

/** Where to look at what an alert is about: a device, or what the lag monitor watches. */
export function placeOf({ kind, site, device }: Alert): string {
  if (kind === 'lag') return href('lag');
  return kind === 'ledger' ? href('overview') : href('overview', { site, device });
}

export const isOfDevice = ({ kind }: Alert): boolean => kind !== 'lag' && kind !== 'ledger';
