import { randomUUID } from 'node:crypto';
import type { Runner } from '@weir/connect-timescale';
import { claimUnsettled, forgetUnsettled } from '@weir/dead-letters';

/** How a message came from a queue. */
export interface QueueMark {
  readonly queue: string;
  /** Grows when the connection was lost; see `Delivery.session`. */
  readonly session: number;
  readonly redelivered: boolean;
  /** Equal for messages that nothing tells apart. */
  readonly likeness: string;
}

interface Held {
  readonly likeness: string;
  session: number;
  /** When it was acknowledged, by `performance.now()`; null while it is not. */
  acked: number | null;
}

/** Time after an acknowledgement at which it has surely arrived, when the session still lives. */
const ARRIVED_MS = 5_000;
/** The same when the session has ended: what was not acknowledged came again long since. */
const ENDED_MS = 600_000;

/**
 * Names for messages of one queue that have no id. A message that comes for the first time gets a new one. One that
 * comes again gets the name that it had, by its likeness to a message whose acknowledgement may not have arrived: what
 * nothing tells apart may be exchanged, but not counted twice, nor lost.
 */
export class Identities {
  readonly #queue: string;
  readonly #held = new Map<string, Held>();
  readonly #alike = new Map<string, Set<string>>();

  constructor(queue: string) {
    this.#queue = queue;
  }

  /** One name for each mark, in their order. */
  async name(runner: Runner, marks: readonly QueueMark[]): Promise<string[]> {
    const again = marks.filter(({ redelivered }) => redelivered).map(({ likeness }) => likeness);
    // Rows that nobody here holds: of a process that ended between the row and its acknowledgement.
    const left =
      again.length === 0
        ? new Map<string, string[]>()
        : await claimUnsettled(runner, this.#queue, again, (id) => this.#held.has(id));
    return marks.map((mark) => {
      const known = mark.redelivered ? (this.#earlier(mark) ?? left.get(mark.likeness)?.shift()) : undefined;
      const id = known ?? randomUUID();
      this.#hold(id, mark);
      return id;
    });
  }

  acked(id: string): void {
    const held = this.#held.get(id);
    if (held !== undefined) held.acked = performance.now();
  }

  /**
   * Forgets those whose acknowledgement has arrived.
   * @param session the living one; null when there is none
   * @param all also the newest ones: the channel was closed in good order after them
   */
  async settle(runner: Runner, session: number | null, all = false): Promise<void> {
    const now = performance.now();
    const over = [...this.#held].filter(([, { acked, session: own }]) => {
      if (acked === null) return false;
      return all || now - acked > (own === session ? ARRIVED_MS : ENDED_MS);
    });
    await forgetUnsettled(
      runner,
      over.map(([id]) => id),
    );
    for (const [id, { likeness }] of over) {
      this.#held.delete(id);
      const alike = this.#alike.get(likeness);
      alike?.delete(id);
      if (alike?.size === 0) this.#alike.delete(likeness);
    }
  }

  /** A message that an older session brought. */
  #earlier({ likeness, session }: QueueMark): string | undefined {
    for (const id of this.#alike.get(likeness) ?? []) {
      if ((this.#held.get(id)?.session ?? session) < session) return id;
    }
    return undefined;
  }

  #hold(id: string, { likeness, session }: QueueMark): void {
    this.#held.set(id, { likeness, session, acked: null });
    const alike = this.#alike.get(likeness);
    if (alike === undefined) this.#alike.set(likeness, new Set([id]));
    else alike.add(id);
  }
}
