import type { LogReader } from '@weir/connect-kafka';
import { eachOf, type Knows } from './measured.ts';

/** A partition of which something waits. */
export interface Waiting {
  readonly group: string;
  readonly topic: string;
  readonly partition: number;
  /** The next record that the group will get. */
  readonly place: number;
  readonly end: number;
}
/** What the record at a place says: its timestamp, or that there is none left before the end. */
export type Head = { readonly at: number } | 'nothing';

export interface ReadHeadsOptions {
  readonly open: (topic: string) => LogReader;
  readonly knows: Knows;
  /** Error of the interpolated time that is good enough, milliseconds. */
  readonly goodEnoughMs: number;
  /** How long one round may take. */
  readonly deadlineMs: number;
}

const READS = 24;
const AT_A_TIME = 6;
const READERS = 8;
/** The first batch comes whole, however large it is. */
const READ_BYTES = 64 << 10;
/** Markers of so many transactions fit into one read: nothing else lies there when it brings no record. */
const MARKERS = 400;

const keyOf = ({ topic, partition, place }: Waiting): string => `${topic}\0${partition}\0${place}`;

/**
 * Makes a step that reads the timestamp of the first waiting record, where it cannot be told well enough from when the log
 * had which end. A place is read once; a round reads few, those first of which least is known. What cannot be read is left
 * out: a lag without its time is better than none.
 */
export function readHeads({ open, knows, goodEnoughMs, deadlineMs }: ReadHeadsOptions) {
  const readers = new Map<string, LogReader>();
  let known = new Map<string, Head>();

  const reader = (topic: string): LogReader => {
    const found = readers.get(topic) ?? open(topic);
    // The one used longest ago goes first.
    readers.delete(topic);
    readers.set(topic, found);
    const [oldest] = readers;
    if (readers.size > READERS && oldest !== undefined) {
      readers.delete(oldest[0]);
      void oldest[1].close();
    }
    return found;
  };

  const read = async ({ topic, partition, place, end }: Waiting): Promise<Head | null> => {
    const [first] = await reader(topic).read(partition, BigInt(place), READ_BYTES);
    if (first !== undefined) return { at: first.timestamp };
    return end - place <= MARKERS ? 'nothing' : null;
  };

  return {
    /** By topic, partition and place; of one that is missing nothing new is known. */
    async readHeads(waiting: readonly Waiting[]): Promise<(one: Waiting) => Head | undefined> {
      const now = Date.now();
      const next = new Map<string, Head>();
      const wanted = new Map<string, { readonly one: Waiting; readonly age: number }>();
      for (const one of waiting) {
        const key = keyOf(one);
        const head = known.get(key);
        if (head !== undefined) next.set(key, head);
        else {
          const came = knows(one.group, one.topic, one.partition, one.place);
          const age = came === null ? Number.POSITIVE_INFINITY : now - came;
          if (age > goodEnoughMs) wanted.set(key, { one, age });
        }
      }
      known = next;
      const first = [...wanted].sort(([, a], [, b]) => b.age - a.age).slice(0, READS);
      const until = performance.now() + deadlineMs;
      await eachOf(first, AT_A_TIME, async ([key, { one }]) => {
        if (performance.now() > until) return;
        const head = await read(one).catch(() => null);
        if (head !== null) next.set(key, head);
      });
      return (one) => next.get(keyOf(one));
    },
    async close(): Promise<void> {
      await Promise.all([...readers.values()].map((one) => one.close()));
    },
  };
}
