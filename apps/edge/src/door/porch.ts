import type { Duplex } from 'node:stream';
import { TokenBucket } from '../gate/index.ts';

/** Milliseconds between two looks at who waits: a turn lets in so few that those inside are answered in between. */
const TURN_MS = 10;

interface Arrival {
  readonly transport: Duplex;
  readonly enter: () => void;
}

/**
 * Where connections wait that were accepted and not read from yet. A fleet that dials at once is let in at a bounded
 * rate, first come first served, so that the handshakes leave time for those who are inside. The time for a CONNECT
 * begins when a connection is let in.
 */
export class Porch {
  readonly #perSecond: number;
  readonly #bucket: TokenBucket;
  #queue: Arrival[] = [];
  #next = 0;
  #timer: NodeJS.Timeout | undefined;

  /** @param perSecond connections let in, with a burst of one second */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#bucket = new TokenBucket(perSecond, performance.now());
  }

  get waiting(): number {
    return this.#queue.length - this.#next;
  }

  /** Lets a connection enter, now or in its turn; never when it ended meanwhile. */
  arrive(transport: Duplex, enter: () => void): void {
    if (this.waiting === 0 && !this.#bucket.isEmpty()) {
      this.#bucket.take();
      enter();
      return;
    }
    transport.on('error', ignore);
    this.#queue.push({ transport, enter });
    this.#timer ??= setInterval(() => this.#turn(), TURN_MS);
  }

  #turn(): void {
    // A late timer finds a second's worth of tokens; all of it at once would keep the others waiting.
    let most = Math.ceil((this.#perSecond * TURN_MS * 2) / 1_000);
    while (this.waiting > 0 && most > 0 && !this.#bucket.isEmpty()) {
      const { transport, enter } = this.#queue[this.#next++] as Arrival;
      transport.off('error', ignore);
      if (transport.destroyed) continue; // went away meanwhile: costs nobody's turn
      this.#bucket.take();
      most--;
      enter();
    }
    if (this.waiting > 0) return;
    this.#queue = [];
    this.#next = 0;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Ends those who wait. */
  close(): void {
    clearInterval(this.#timer);
    for (const { transport } of this.#queue.slice(this.#next)) transport.destroy();
    this.#queue = [];
    this.#next = 0;
  }
}

function ignore(): void {}
