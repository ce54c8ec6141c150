import { createHash } from 'node:crypto';
import { areCounted, type Runner } from '@weir/connect-timescale';
import { type BytesReader, type FullLetter, guard, type Verdict } from '@weir/dead-letters';
import { WeirError } from '@weir/flow';
import { type LetterBytes, type makeMessages, type Outgoing, Refused } from './make-message.ts';

/** Who sends; the count follows from the letter. */
export interface Sender {
  readonly task: string;
  readonly by: string;
  readonly maxReplays: number;
}

export interface Prepared {
  readonly letter: FullLetter;
  readonly verdict: Verdict;
  /** Null unless the verdict is `send`. */
  readonly outgoing: Outgoing | null;
}

export interface PrepareOptions {
  readonly database: Runner;
  readonly bytes: BytesReader;
  readonly makeMessage: ReturnType<typeof makeMessages>;
}

/**
 * Makes a step that says for each letter what is to be done with it, and makes the messages of those that are sent.
 * The plan and the sending take this one step, so that a dry run tells what will happen. `inDoubt` names letters that
 * may have been sent under their present count: the loop guard has let them pass, and they keep the count. The step
 * throws transient errors when a server is away.
 */
export function prepareLetters({ database, bytes, makeMessage }: PrepareOptions) {
  /** By id; an error for a letter whose bytes cannot be had. */
  async function load(letters: readonly FullLetter[]): Promise<Map<string, LetterBytes | Refused>> {
    const loaded = new Map<string, LetterBytes | Refused>();
    try {
      const current = await bytes.current(letters);
      const edited = letters.filter((letter) => {
        const body = current.get(letter.id);
        return body !== undefined && sha256(body) !== letter.sha256;
      });
      const originals = edited.length === 0 ? new Map<string, Buffer>() : await bytes.original(edited);
      for (const { id } of letters) {
        const body = current.get(id);
        if (body === undefined) loaded.set(id, new Refused('its bytes were purged or have expired'));
        else loaded.set(id, { current: body, original: originals.get(id) ?? null });
      }
    } catch (error) {
      if (!(error instanceof WeirError) || error.retry !== 'data') throw error;
      // Damaged bytes of one letter must not hold the others.
      if (letters.length === 1) return new Map(letters.map(({ id }) => [id, new Refused(error.message)]));
      for (const letter of letters) for (const [id, one] of await load([letter])) loaded.set(id, one);
    }
    return loaded;
  }

  return async function prepareLetters(
    letters: readonly FullLetter[],
    { task, by, maxReplays }: Sender,
    inDoubt: ReadonlySet<string> = NONE,
  ): Promise<Prepared[]> {
    const guarded = new Map(
      letters.map((letter) => [letter.id, inDoubt.has(letter.id) ? null : guard(letter, maxReplays)]),
    );
    const loaded = await load(letters.filter(({ id }) => guarded.get(id) === null));
    const made = letters.map((letter): Prepared => {
      const verdict = guarded.get(letter.id) ?? null;
      if (verdict !== null) return { letter, verdict, outgoing: null };
      const body = loaded.get(letter.id) as LetterBytes | Refused;
      const replayCount = letter.replayCount + (inDoubt.has(letter.id) ? 0 : 1);
      try {
        if (body instanceof Refused) throw body;
        const outgoing = makeMessage(letter, body, { task, by, replayCount });
        const readings = outgoing.system === 'kafka' ? outgoing.identities.length : null;
        return { letter, verdict: { kind: 'send', destination: outgoing.destination, readings }, outgoing };
      } catch (error) {
        if (!(error instanceof Refused)) throw error;
        return { letter, verdict: { kind: 'refuse', why: error.message }, outgoing: null };
      }
    });
    return withoutCounted(database, made);
  };
}

const NONE: ReadonlySet<string> = new Set();
const sha256 = (body: Buffer): string => createHash('sha256').update(body).digest('hex');

/** Letters all of whose readings are in the windows are not sent again. */
async function withoutCounted(database: Runner, all: readonly Prepared[]): Promise<Prepared[]> {
  const identities = all.flatMap(({ outgoing }) => (outgoing?.system === 'kafka' ? outgoing.identities : []));
  const known = identities.length === 0 ? new Map() : await areCounted(database, identities);
  return all.map((one) => {
    const { letter, outgoing } = one;
    const open = outgoing?.system !== 'kafka' || outgoing.identities.some((identity) => !known.has(identity));
    if (open) return one;
    const why = 'all of its readings were brought back before';
    return { letter, verdict: { kind: 'skip', why }, outgoing: null };
  });
}
