import type { HopName } from '@weir/api';
import type { Suspect } from './suspects.ts';

export interface Bottleneck {
  readonly hop: HopName;
  /** When it was suspected first, on the clock that `next` is given. */
  readonly since: number;
  readonly why: string;
}

export interface HoldSettings {
  /** How long a hop must be the first suspect before it is named, milliseconds. */
  readonly nameMs: number;
  /** How long it must not be suspected before its name is withdrawn, milliseconds. */
  readonly clearMs: number;
}

const HOLD: HoldSettings = { nameMs: 4_000, clearMs: 6_000 };
/** Another hop takes the name over when it is so much later. */
const WORSE = 1.5;

/** Names one hop: not at the first suspicion, and no longer than it is suspected. Times need not be regular. */
export class BottleneckTracker {
  readonly #hold: HoldSettings;
  #named: (Bottleneck & { seen: number }) | null = null;
  #candidate: { hop: HopName; since: number } | null = null;

  constructor(hold: HoldSettings = HOLD) {
    this.#hold = hold;
  }

  get current(): Bottleneck | null {
    if (this.#named === null) return null;
    const { hop, since, why } = this.#named;
    return { hop, since, why };
  }

  /** @param at never less than before */
  next(at: number, suspects: readonly Suspect[]): Bottleneck | null {
    const [worst] = [...suspects].sort((a, b) => b.severity - a.severity);
    const named = this.#named;
    const still = suspects.filter(({ hop }) => hop === named?.hop).sort((a, b) => b.severity - a.severity)[0];
    if (named !== null && still !== undefined) this.#named = { ...named, why: still.why, seen: at };
    else if (named !== null && at - named.seen >= this.#hold.clearMs) this.#named = null;

    const isOther = worst !== undefined && worst.hop !== this.#named?.hop;
    const isWorse = still === undefined || (worst?.severity ?? 0) >= WORSE * still.severity;
    if (!isOther || !isWorse) {
      this.#candidate = null;
      return this.current;
    }
    if (this.#candidate?.hop !== worst.hop) this.#candidate = { hop: worst.hop, since: at };
    const { hop, since } = this.#candidate;
    if (at - since >= this.#hold.nameMs) {
      this.#named = { hop, since, why: worst.why, seen: at };
      this.#candidate = null;
    }
    return this.current;
  }
}
