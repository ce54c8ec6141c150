import type { Config } from '@weir/config';
import type { Limits } from '@weir/lag';
import { kafkaTopology } from '@weir/topology';

/** Whether a name is meant by a pattern: itself, or a beginning with * at its end. */
const means = (pattern: string, name: string): boolean =>
  pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;

/** Whether a group or queue is watched. */
export function isWatched({ watch, ignore }: Config['lagMonitor'], name: string): boolean {
  return watch.some((pattern) => means(pattern, name)) && !ignore.some((pattern) => means(pattern, name));
}

/** By what a group or queue is judged. */
export function limitsOf({ lagMonitor, archiver, namespace }: Config, name: string): Limits {
  const own = lagMonitor.groups.find((group) => means(group.name, name));
  // The archiver commits when an object is finished, which takes archiver.objectAge on a quiet partition.
  const stride = name === kafkaTopology(namespace).groups.archiver ? archiver.objectAge : 0;
  return {
    allowedLagMs: own?.allowedLag ?? lagMonitor.allowedLag + stride,
    stopAfterMs: own?.stopAfter ?? lagMonitor.stopAfter,
    stallAfterMs: own?.stallAfter ?? lagMonitor.stallAfter + 2 * stride,
    holdMs: lagMonitor.hold,
    clearMs: lagMonitor.clear,
    lossMarginMs: lagMonitor.lossMargin,
  };
}
