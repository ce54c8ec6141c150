import type { Session } from '../door/session.ts';

/** Site (`-`: not known) → device → when it was last heard, epoch milliseconds. */
export type Alive = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Of a device without credentials that has not published yet. */
const NO_SITE = '-';
/** A message holds no more devices than this. */
const MOST = 1_000;

/**
 * Devices that were heard without a reading that could tell of it: keepalive, and publishes that were refused. Bounded
 * by the connections, because each is taken out with the next message.
 */
export class AliveDevices {
  readonly #heard = new Map<Session, number>();

  note(session: Session, at: number): void {
    this.#heard.set(session, at);
  }

  /** Takes out what was noted, in portions of one message each. */
  take(): Alive[] {
    const taken: Record<string, Record<string, number>>[] = [];
    let portion: Record<string, Record<string, number>> = {};
    let count = 0;
    for (const [{ site, principal }, at] of this.#heard) {
      if (count % MOST === 0) {
        portion = {};
        taken.push(portion);
      }
      count++;
      const name = site ?? NO_SITE;
      portion[name] ??= Object.create(null) as Record<string, number>;
      portion[name][principal.device] = at;
    }
    this.#heard.clear();
    return taken;
  }
}
