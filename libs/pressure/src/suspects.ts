import type { HopName } from '@weir/api';
import { DRAINS, type Drain, type DrainSample, HOP_OF_APP, type Process, type Sample } from './model.ts';

/** A hop that may hold the others back. */
export interface Suspect {
  readonly hop: HopName;
  /** How late it is, in units of what is late; the largest holds back most. */
  readonly severity: number;
  /** Which rule, and the numbers. */
  readonly why: string;
}

/** Shares of one process in the last seconds. */
export interface Shares {
  /** Of its event loop; null: not known. */
  readonly busy: number | null;
  /** Of each hop: waiting for what comes behind it. */
  readonly waiting: ReadonlyMap<HopName, number>;
}

/** Counters are compared over this long, milliseconds: three samples, so that one long collection or commit is no proof. */
export const WINDOW_MS = 6_000;
/** An event loop that had something to do for so much of the time is the limit itself. */
const BUSY_SHARE = 0.9;
/** A hop that is late and waited for its far side for so much of the time is held back by that. */
const WAITING_SHARE = 0.6;
/** No answer for so long, milliseconds, holds everything up that comes before. */
const SILENT_MS = 6_000;
/** What was silent for longer than this has been taken away. */
const GONE_MS = 600_000;

/** The newest sample, and one about a window before it; null when there are not two, or the process began anew. */
function span(samples: readonly Sample[]) {
  const answered = samples.filter(({ answer }) => answer !== null);
  const now = answered.at(-1);
  const before = answered.findLast(({ at }) => at <= (now?.at ?? 0) - WINDOW_MS + 500) ?? answered[0];
  if (now?.answer == null || before?.answer == null || now.at <= before.at) return null;
  if (now.answer.busySeconds < before.answer.busySeconds) return null;
  return { seconds: (now.at - before.at) / 1_000, now: now.answer, before: before.answer };
}

/** How a process spent the last seconds. */
export function sharesOf(samples: readonly Sample[]): Shares {
  const found = span(samples);
  const waiting = new Map<HopName, number>();
  if (found === null) return { busy: null, waiting };
  const { seconds, now, before } = found;
  const share = (spent: number): number => Math.min(1, Math.max(0, spent / seconds));
  for (const [hop, { sinkSeconds }] of now.drains) {
    const earlier = before.drains.get(hop);
    if (earlier !== undefined) waiting.set(hop, share(sinkSeconds - earlier.sinkSeconds));
  }
  return { busy: share(now.busySeconds - before.busySeconds), waiting };
}

const percent = (share: number): string => `${Math.round(share * 100)} %`;
const wait = (seconds: number): string => `${seconds.toFixed(1)} s`;

/**
 * Three rules, each on one process:
 * 1. it answered before and is silent now: what comes before it waits;
 * 2. its event loop is busy and something in it is late (in the edge that is nowhere to be seen: what is late there
 *    waits in the sockets of the devices);
 * 3. one of its hops is late and waits for what comes behind it, while the process itself has time.
 */
export function suspectsOf({ app, instance, samples }: Process, now: number): readonly Suspect[] {
  const answered = samples.findLast(({ answer }) => answer !== null);
  const began = samples[0];
  if (answered === undefined || began === undefined) return [];
  const silentMs = now - answered.at;
  if (silentMs >= SILENT_MS) {
    if (silentMs > GONE_MS) return [];
    const why = `rule 1: ${app} at ${instance} has not answered for ${wait(silentMs / 1_000)}`;
    return [{ hop: HOP_OF_APP[app], severity: silentMs / SILENT_MS, why }];
  }
  const { busy, waiting } = sharesOf(samples);
  if (busy === null || answered.answer === null) return [];
  const { drains } = answered.answer;
  const late = DRAINS.filter((drain) => drain.app === app)
    .map((drain) => ({ drain, lateness: latenessOf(drain, drains.get(drain.hop)) }))
    .filter(({ lateness }) => lateness > 1);
  const latest = Math.max(1, ...late.map(({ lateness }) => lateness));
  if (busy >= BUSY_SHARE && (app === 'edge' || late.length > 0)) {
    const why = `rule 2: the event loop of ${app} at ${instance} is busy ${percent(busy)} of the time`;
    return [{ hop: HOP_OF_APP[app], severity: latest, why }];
  }
  return late.flatMap(({ drain: { hop, sink }, lateness }) => {
    const share = waiting.get(hop) ?? 0;
    if (sink === null || share < WAITING_SHARE) return [];
    const waited = wait(drains.get(hop)?.delaySeconds ?? 0);
    const far = sink === hop ? 'its disk' : sink;
    const why = `rule 3: ${hop} at ${instance} waits for ${far} ${percent(share)} of the time; its oldest waits ${waited}`;
    return [{ hop: sink, severity: lateness, why }];
  });
}

function latenessOf({ lateSeconds }: Drain, sample: DrainSample | undefined): number {
  return sample === undefined ? 0 : sample.delaySeconds / lateSeconds;
}
