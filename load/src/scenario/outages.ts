import { seeded, seedOf } from '../fleet/random.ts';
import type { DeviceClass } from './schema.ts';

/** A time in which a connection is meant to be away, milliseconds from the start; `to` is when it dials. */
export interface Outage {
  readonly from: number;
  readonly to: number;
  /** Readings of this time are sent after it; otherwise the device takes none. */
  readonly backfill: boolean;
}

/**
 * When a connection of a class is away, in order and without overlaps. The first ends when it dials for the first time.
 * @param index of the connection among `count` of the class
 */
export function outagesOf(
  spec: DeviceClass,
  index: number,
  count: number,
  seed: number,
  durationMs: number,
): readonly Outage[] {
  const random = seeded(seedOf(seed, `${spec.name}/away/${index}`));
  const wanted: Outage[] = [];
  for (const { share, from, for: lasts, backfill } of spec.offline)
    if (random() < share) wanted.push({ from, to: from + lasts, backfill });
  for (const { at, share, away } of spec.storms)
    if (random() < share) wanted.push({ from: at, to: at + away, backfill: true });
  for (const { share, every, down } of spec.flapping) {
    const flaps = random() < share;
    const phase = random() * every;
    for (let at = phase; flaps && at < durationMs; at += every)
      wanted.push({ from: at, to: at + down, backfill: true });
  }
  const dialed = spec.connect.from + (spec.connect.within * index) / count;
  const outages: Outage[] = [{ from: 0, to: dialed, backfill: false }];
  for (const one of wanted.sort((a, b) => a.from - b.from)) {
    const last = outages.at(-1) as Outage;
    if (one.from >= durationMs) continue;
    if (one.from > last.to) outages.push(one);
    // One that begins within another makes it longer; what has not connected yet cannot be cut.
    else if (outages.length > 1 && one.to > last.to)
      outages[outages.length - 1] = { ...last, to: one.to, backfill: last.backfill && one.backfill };
  }
  return outages;
}
