import type { UtcOffset } from '@weir/reading';
import { Temporal } from 'temporal-polyfill';

/** Stamps of the same minutes come again and again; a zone forgets them all when it knows this many. */
const KEPT_MINUTES = 4_096;
const MINUTE_MS = 60_000;

/** The zone of a site, for stamps that name none. */
export class LocalZone {
  readonly #zone: string;
  /** Local minute → offsets of the earlier and the later moment that the site's clocks show it. */
  readonly #known = new Map<number, readonly [earlier: number, later: number]>();

  /** @param zone a name of the IANA database, such as Europe/Berlin */
  constructor(zone: string) {
    this.#zone = zone;
  }

  /**
   * Minutes that local time is ahead of UTC. Of a time that occurs twice, when clocks go back, the one nearer to the
   * arrival is meant. A time that never occurs, when clocks go forward, is read as if they had not yet (as RFC 5545,
   * 3.3.5, and Temporal's `compatible` have it).
   * @param local the stamp read as UTC, epoch milliseconds
   * @param at arrival, epoch milliseconds
   */
  offset(local: number, at: number): number {
    const minute = Math.floor(local / MINUTE_MS);
    let found = this.#known.get(minute);
    if (found === undefined) {
      found = this.#resolve(minute * MINUTE_MS);
      if (this.#known.size >= KEPT_MINUTES) this.#known.clear();
      this.#known.set(minute, found);
    }
    const [earlier, later] = found;
    if (earlier === later) return earlier;
    const distance = (offset: number): number => Math.abs(local - offset * MINUTE_MS - at);
    return distance(earlier) <= distance(later) ? earlier : later;
  }

  #resolve(local: number): readonly [number, number] {
    const plain = Temporal.Instant.fromEpochMilliseconds(local).toZonedDateTimeISO('UTC').toPlainDateTime();
    const offsetOf = (disambiguation: 'earlier' | 'later'): { offset: number; shown: boolean } => {
      const moment = plain.toZonedDateTime(this.#zone, { disambiguation });
      return {
        offset: (local - moment.epochMilliseconds) / MINUTE_MS,
        shown: moment.toPlainDateTime().equals(plain),
      };
    };
    const earlier = offsetOf('earlier');
    const later = offsetOf('later');
    // In the gap the later reading is the one that counts on from the offset before it.
    return earlier.shown ? [earlier.offset, later.offset] : [later.offset, later.offset];
  }
}

/** Site → its zone, from `edge.timeZones`; `*` stands for every other site. */
export function zonesOfSites(
  zones: Readonly<Record<string, string>>,
): (site: string) => LocalZone | undefined {
  const made = new Map(Object.entries(zones).map(([site, zone]) => [site, new LocalZone(zone)]));
  const others = made.get('*');
  return (site) => made.get(site) ?? others;
}

/** Remembers how the stamps of one payload were read, for its line. */
export class ReadOffsets {
  readonly #zone: LocalZone;
  readonly #at: number;
  readonly #found: number[] = [];

  constructor(zone: LocalZone, at: number) {
    this.#zone = zone;
    this.#at = at;
  }
  readonly ask = (local: number, index: number): number => {
    const offset = this.#zone.offset(local, this.#at);
    this.#found[index] = offset;
    return offset;
  };
  /** One offset when all stamps have the same; undefined when every stamp named its zone. */
  get result(): UtcOffset | undefined {
    const known = Object.values(this.#found);
    const [first] = known;
    if (first === undefined || known.every((offset) => offset === first)) return first;
    return Array.from(this.#found, (offset) => offset ?? 0);
  }
}
