import { type AtEdge, formatSent } from '@weir/ledger';
import { countedBy } from '@weir/reading';
import type { Note, SpoolRecord } from '../spool/index.ts';

/** How far the way to Kafka is, in readings since the count began. */
export interface TallyNumbers extends AtEdge {
  /** Epoch milliseconds. */
  readonly since: number;
  /** Of what the spool has taken, everything that is behind; null: no line has told yet. */
  readonly counted: number | null;
  /** By partition. */
  readonly sent: readonly number[];
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

/**
 * What became of everything that the spool has taken, so that nobody downstream need guess what a hole means: sent,
 * a dead letter, dropped by the policy, or lost. It is saved with the cursor, so that a line which is sent again bears
 * the same numbers as the first time.
 */
export class Tally {
  readonly #edge: string;
  readonly #numbers: Mutable<TallyNumbers> & { sent: number[] };
  /** What the policy has dropped at or before the last line, delivered or not. */
  #dropsSeen: number | null;

  /**
   * @param edge `<edge id>/<spool id>`
   * @param note from `note` of an earlier tally
   * @param isNew the spool has never had anything in it; else, without a note, the first line tells where to begin
   * @param now epoch milliseconds
   */
  constructor(edge: string, note: Note | null, isNew: boolean, now: number) {
    this.#edge = edge;
    const none = { since: now, counted: isNew ? 0 : null, letters: 0, buried: 0, dropped: 0, lost: 0 };
    const { dropsSeen, ...saved } = (note ?? {}) as Partial<TallyNumbers & { dropsSeen: number }>;
    this.#numbers = { ...none, ...saved, sent: [...(saved.sent ?? [])] };
    this.#dropsSeen = dropsSeen ?? (isNew ? 0 : null);
  }

  /**
   * Records that were read, all of a round. Returns the readings in front of its last line that are lost.
   * @param droppedUpTo see `SpoolReader`
   */
  receive(records: readonly SpoolRecord[], droppedUpTo: (n: number) => number): number {
    const numbers = this.#numbers;
    const last = records.findLastIndex(({ kind }) => kind === 'reading');
    let upTo = 0;
    let behind = 0;
    records.forEach(({ kind, count }, i) => {
      if (i <= last) upTo += count;
      else behind += count;
      if (kind === 'dead-letter') numbers.letters += count;
    });
    const line = records[last];
    if (line === undefined) {
      if (numbers.counted !== null) numbers.counted += behind;
      return 0;
    }
    const k = countedBy(line.body);
    const drops = droppedUpTo(line.n);
    const missing = k === null || numbers.counted === null ? 0 : k - upTo - numbers.counted;
    const dropped = Math.max(0, Math.min(missing, drops - (this.#dropsSeen ?? drops)));
    const lost = Math.max(0, missing - dropped);
    numbers.dropped += dropped;
    numbers.lost += lost;
    numbers.counted = k === null ? null : k + behind;
    this.#dropsSeen = drops;
    return lost;
  }

  /**
   * The header of a record that is sent next.
   * @param earlier readings of its partition in front of it in the same request
   */
  header(partition: number, readings: number, earlier = 0): string {
    const before = (this.#numbers.sent[partition] ?? 0) + earlier;
    return formatSent({ ...this.#numbers, edge: this.#edge, before, after: before + readings });
  }
  /** A record arrived. */
  arrived(partition: number, readings: number): void {
    const { sent } = this.#numbers;
    while (sent.length <= partition) sent.push(0);
    sent[partition] = (sent[partition] as number) + readings;
  }
  /** Readings that Kafka can never take. */
  bury(readings: number): void {
    this.#numbers.buried += readings;
  }

  get numbers(): TallyNumbers {
    return this.#numbers;
  }
  /** To be saved with the cursor behind everything that was received. */
  note(): Note {
    return { ...this.#numbers, sent: [...this.#numbers.sent], dropsSeen: this.#dropsSeen };
  }
}
