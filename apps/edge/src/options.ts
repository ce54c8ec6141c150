import type { Config } from '@weir/config';
import type { AppContext } from '@weir/lifecycle';
import type { HopTime } from '@weir/observe';
import { EdgeClock, type EdgeClockOptions } from './clock/index.ts';
import type { EdgeEvents } from './events.ts';
import type { GateLimits } from './gate/index.ts';
import { Spool, type SpoolOptions } from './spool/index.ts';

/**
 * The largest payload that one spool record may hold: a spool takes records up to a quarter of its size, and a payload
 * with line breaks is escaped.
 */
export function largestPayload({ spool }: Config['edge']): number {
  return Math.max(1_024, Math.floor(spool.maxSize / 10));
}

/** Settings of the gates, from the configuration. */
export function gateLimits(edge: Config['edge']): GateLimits {
  const { limits } = edge;
  return {
    packetBytes: Math.min(limits.packetSize, largestPayload(edge)),
    topicBytes: limits.topicSize,
    inflight: limits.inflight,
    connectMs: limits.connectTime,
    keepaliveMaxMs: limits.keepaliveMax,
    connections: limits.connections,
    connectRate: limits.connectRate,
    publishRate: limits.publishRate,
    outwardBytes: limits.outwardBuffer,
    partialBytes: limits.partialPackets,
  };
}

/** The spool, and the clock that goes on from its newest record. */
export async function openSpool(
  context: AppContext,
  events: EdgeEvents,
  time: HopTime,
): Promise<{ clock: EdgeClock; spool: Spool }> {
  const clock = await EdgeClock.open(clockOptions(context.config.edge, events));
  const spool = await Spool.open({ ...spoolOptions(context, events), time, now: () => clock.latest() });
  await clock.start(spool.resumedAt);
  return { clock, spool };
}

function clockOptions(edge: Config['edge'], events: EdgeEvents): EdgeClockOptions {
  return {
    dir: edge.dir,
    maxAheadMs: edge.clockAhead,
    onFollow: (ahead, jumped) => events.clockFollowed(ahead, jumped),
    onUnsaved: (error) => events.failed('saving the clock', error),
  };
}

/** Settings of the spool; a disk that fails ends the process before anything more is acknowledged. */
function spoolOptions(context: AppContext, events: EdgeEvents): SpoolOptions {
  const { spool } = context.config.edge;
  return {
    dir: spool.dir,
    maxBytes: spool.maxSize,
    segmentBytes: spool.segmentSize,
    whenFull: spool.whenFull,
    memoryBytes: spool.memory,
    onFatal: (error) => context.fatal('writing the spool', error),
    onCorrupt: (damage) => events.spoolDamaged(damage),
    onTornTail: (tail) => events.spoolTorn(tail),
    onDropped: (dropped) => events.droppedBySpool(dropped),
    onGroup: ({ seconds }) => events.synced(seconds),
  };
}

/** The parts of a comma-separated setting. */
export function splitList(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter(Boolean);
}
