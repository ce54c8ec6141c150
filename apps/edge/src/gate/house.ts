import { countQos0, type GateRefusal } from './frame.ts';
import type { Lane } from './lane.ts';

export interface GateLimits {
  /** Largest packet, fixed header included, bytes. */
  readonly packetBytes: number;
  /** Longest topic or topic filter, bytes. */
  readonly topicBytes: number;
  /** QoS 1 and 2 publishes of one connection that wait for their answer. */
  readonly inflight: number;
  /** From the accept to an accepted CONNECT, milliseconds. */
  readonly connectMs: number;
  /** Longest keepalive, milliseconds; also for clients that ask for none. */
  readonly keepaliveMaxMs: number;
  readonly connections: number;
  /** Connections let in a second, with a burst of one second. */
  readonly connectRate: number;
  /** Publishes a second of one connection, with a burst of one second. */
  readonly publishRate: number;
  /** Bytes that may wait for one slow reader. */
  readonly outwardBytes: number;
  /** Bytes of all packets together that have begun but not ended. */
  readonly partialBytes: number;
}

/** What the gates tell; none may throw. */
export interface GateEvents {
  /** QoS 0 publishes were held back when their connection ended; each counts as one reading. */
  dropped(reason: 'rate-limit' | 'qos0-pressure', publishes: number): void;
  refused(reason: GateRefusal): void;
  /** A connection was held back: its window is full, it is too fast, or the spool takes nothing. */
  held(why: 'window' | 'rate' | 'spool'): void;
}

/** A connection, as the house sees it. */
interface Resident {
  /** Ends the connection when it has been silent for too long. */
  checkSilence(): void;
  /** Goes on with what it held back. */
  pump(): void;
  /** Writes what it collected. */
  flush(): void;
}

/** What all gates share: limits, a coarse clock, the sweep for silent connections, and who waits for the spool. */
export class GateHouse {
  readonly limits: GateLimits;
  readonly events: GateEvents;
  readonly gates = new Set<Resident>();
  /** Milliseconds, at most `sweepMs` old: reading the real clock for every packet would show in the profile. */
  clock = performance.now();
  /** Set by the doors; null: aedes has everything. */
  lane: Lane | null = null;
  readonly sweepMs: number;
  partialBytes = 0;
  readonly #holds: (inflight: number) => boolean;
  readonly #waiting = new Set<Resident>();
  readonly #dirty: Resident[] = [];
  #flushing = false;
  readonly #sweep: NodeJS.Timeout;

  /**
   * @param holds whether the spool lets no publish that wants an acknowledgement come in on a connection that waits for
   *   the answers to `inflight` of them
   */
  constructor(limits: GateLimits, events: GateEvents, holds: (inflight: number) => boolean) {
    this.limits = limits;
    this.events = events;
    this.#holds = holds;
    this.sweepMs = Math.max(20, Math.min(500, limits.connectMs / 4));
    this.#sweep = setInterval(() => {
      this.clock = performance.now();
      for (const gate of this.gates) gate.checkSilence();
    }, this.sweepMs);
    this.#sweep.unref();
  }

  /** The spool takes no publish that wants an acknowledgement from a connection with so many that wait for one. */
  holds(inflight: number): boolean {
    return this.#holds(inflight);
  }
  /** Connections held back by the spool. */
  get waiting(): number {
    return this.#waiting.size;
  }

  waitForSpool(gate: Resident): void {
    this.#waiting.add(gate);
  }
  forget(gate: Resident): void {
    this.gates.delete(gate);
    this.#waiting.delete(gate);
  }

  /** A connection ended with `held` held back. Who sent with QoS 1 or 2 knows that it was not answered. */
  lose(held: Buffer, isRate: boolean): void {
    const publishes = countQos0(held);
    if (publishes > 0) this.events.dropped(isRate ? 'rate-limit' : 'qos0-pressure', publishes);
  }

  /** The spool takes records again. Who waited longest goes first. */
  release(): void {
    for (const gate of this.#waiting) {
      if (this.#holds(0)) return;
      this.#waiting.delete(gate);
      gate.pump();
    }
  }

  /** Writes what `gate` collected when this turn of the event loop ends. */
  flushSoon(gate: Resident): void {
    this.#dirty.push(gate);
    if (this.#flushing) return;
    this.#flushing = true;
    process.nextTick(() => {
      this.#flushing = false;
      const dirty = this.#dirty.splice(0);
      for (const each of dirty) each.flush();
    });
  }

  close(): void {
    clearInterval(this.#sweep);
  }
}
