import { setTimeout as delay } from 'node:timers/promises';
import {
  batchSize,
  type Claim,
  chunkSize,
  claimItems,
  countReturns,
  type FullLetter,
  fullLetters,
  leaveRunning,
  type OpenItem,
  openDestinations,
  openItems,
  Pace,
  type ReplayTask,
  type Settlement,
  settleItems,
} from '@weir/dead-letters';
import type { Outgoing } from './make-message.ts';
import type { ReplayParts } from './parts.ts';
import type { Prepared } from './prepare-letters.ts';

/** Time between two looks at the destinations, and at letters that come back. */
const LOOK_MS = 2_000;

/** An item with its letter; null when the index does not have it any more. */
interface Work {
  readonly item: OpenItem;
  readonly prepared: Prepared | null;
}
interface Ready {
  readonly work: Work;
  readonly outgoing: Outgoing;
}

/**
 * Makes a step that sends the letters of a running task, in their order and at its rate, until there are none left or
 * somebody pauses it; it pauses itself as well. For each second: count and claim letters in one transaction, send them,
 * wait for the confirms, settle in another. Killed between the two, the letters that were claimed are sent once more
 * with the same count and identity; at every other point nothing is lost or repeated.
 */
export function runTask(parts: ReplayParts) {
  const { database, write, insist, events } = parts;

  /** A trouble that the task pauses for. */
  async function pauseFor(
    task: ReplayTask,
    destinations: readonly string[],
    signal: AbortSignal,
  ): Promise<{ cause: 'lag' | 'returns'; why: string } | null> {
    const returns =
      (await insist('looking for letters that came back', signal, () => countReturns(database, task.id))) -
      task.returnsSeen;
    if (returns > 0) {
      const why = `${returns} of its letters came back as dead letters; look at them, then resume or cancel it`;
      return { cause: 'returns', why };
    }
    for (const destination of destinations) {
      const { behind } = await parts.look(destination);
      if (behind !== null) return { cause: 'lag', why: `${destination}: ${behind}` };
    }
    return null;
  }

  async function load(task: ReplayTask, items: readonly OpenItem[]): Promise<Work[]> {
    const ids = items.map(({ letter }) => letter);
    const letters = await fullLetters(database, { ids }, { order: 'oldest', limit: ids.length });
    const byId = new Map(letters.map((letter) => [letter.id, letter]));
    const inDoubt = new Set(items.filter(({ state }) => state === 'sending').map(({ letter }) => letter));
    const prepared = await parts.prepare(
      letters,
      { task: task.id, by: task.by, maxReplays: task.maxReplays },
      inDoubt,
    );
    const byLetter = new Map(prepared.map((one) => [one.letter.id, one]));
    return items.map((item) => ({
      item,
      prepared: byId.has(item.letter) ? (byLetter.get(item.letter) ?? null) : null,
    }));
  }

  /** Sends what is ready at the pace of the task, to its end also when the app stops; tells what came of each letter. */
  async function deliver(
    task: ReplayTask,
    ready: readonly Ready[],
    pace: Pace,
    settle: (settlement: Settlement) => void,
  ): Promise<void> {
    const size = batchSize(task.rate);
    for (let at = 0; at < ready.length; at += size) {
      const part = ready.slice(at, at + size);
      const wait = pace.wait(performance.now());
      if (wait > 0) await delay(wait, undefined, { signal: parts.giveUp });
      pace.take(part.length, performance.now());
      const failures = await parts.send(
        part.map(({ outgoing }) => outgoing),
        parts.giveUp,
      );
      for (const [index, { work }] of part.entries()) {
        const { position, letter, state } = work.item;
        settle({ position, letter, why: failures.get(index) ?? null, again: state === 'sending' });
      }
    }
  }

  /** Claims and sends a chunk; false when the task does not run any more. */
  async function chunk(
    task: ReplayTask,
    items: readonly OpenItem[],
    pace: Pace,
    signal: AbortSignal,
  ): Promise<boolean> {
    const works = await insist('reading letters of a replay', signal, () => load(task, items));
    const claims = works.flatMap(claimOf);
    const claimed = await write('claiming letters of a replay', signal, (transaction) =>
      claimItems(transaction, task, claims),
    );
    if (claimed === null) return false;
    for (const to of ['skipped', 'parked', 'failed'] as const)
      events.moved(to, claims.filter((claim) => claim.to === to && claimed.has(claim.position)).length);
    const ready = works.flatMap((work): Ready[] => {
      const outgoing = work.prepared?.outgoing ?? null;
      const mine = work.item.state === 'sending' || claimed.has(work.item.position);
      return outgoing !== null && mine && !hasReturned(work) ? [{ work, outgoing }] : [];
    });
    const settlements = works.flatMap(settledAlready);
    try {
      await deliver(task, ready, pace, (settlement) => settlements.push(settlement));
    } finally {
      // Also after an error: what has arrived is not sent again.
      await settleAll(task, settlements);
    }
    return true;
  }

  async function settleAll(task: ReplayTask, settlements: readonly Settlement[]): Promise<void> {
    if (settlements.length === 0) return;
    await write('settling letters of a replay', parts.giveUp, (transaction) =>
      settleItems(transaction, task.id, settlements),
    );
    const sent = settlements.filter(({ why }) => why === null);
    events.moved('failed', settlements.length - sent.length);
    events.moved('resent', sent.filter(({ again }) => again).length);
    events.moved('sent', sent.filter(({ again }) => !again).length);
  }

  return async function runTask(task: ReplayTask, signal: AbortSignal): Promise<void> {
    const pace = new Pace(task.rate, performance.now());
    const size = chunkSize(task.rate);
    const destinations = await insist('reading where a replay sends to', signal, () =>
      openDestinations(database, task.id),
    );
    for (let looked = Number.NEGATIVE_INFINITY; ; ) {
      const items = await insist('reading letters of a replay', signal, () =>
        openItems(database, task.id, size),
      );
      if (items.length === 0) {
        const why = 'every letter was looked at';
        const ended = await write('ending a replay', signal, (transaction) =>
          leaveRunning(transaction, task.id, { state: 'done', why }),
        );
        if (ended) events.done(task);
        return;
      }
      if (performance.now() - looked > LOOK_MS) {
        looked = performance.now();
        const pause = await pauseFor(task, destinations, signal);
        if (pause !== null) {
          const { cause, why } = pause;
          const paused = await write('pausing a replay', signal, (transaction) =>
            leaveRunning(transaction, task.id, { state: 'paused', why, cause }),
          );
          if (paused) events.paused(task, cause, why);
          return;
        }
      }
      if (!(await chunk(task, items, pace, signal))) return;
    }
  };
}

/** It came back under the count that it was sent with: so it was sent. */
function hasReturned({ item, prepared }: Work): boolean {
  return (
    item.state === 'sending' && prepared !== null && prepared.letter.returnedCount >= (item.replayCount ?? 0)
  );
}

const letterOf = ({ item, prepared }: Work): Pick<FullLetter, 'id' | 'status' | 'replayCount'> =>
  prepared?.letter ?? { id: item.letter, status: 'purged', replayCount: 0 };

function claimOf(work: Work): Claim[] {
  const { item, prepared } = work;
  if (item.state === 'sending') return [];
  const letter = letterOf(work);
  const { position } = item;
  if (prepared === null) return [{ position, letter, to: 'failed', why: 'it is not in the index any more' }];
  const { verdict } = prepared;
  if (verdict.kind === 'send') return [{ position, letter, to: 'sending', why: null }];
  const to = { skip: 'skipped', park: 'parked', refuse: 'failed' } as const;
  return [{ position, letter, to: to[verdict.kind], why: verdict.why }];
}

/** What is known to have been sent, or can never be sent again, of letters that were in doubt. */
function settledAlready(work: Work): Settlement[] {
  const { item, prepared } = work;
  if (item.state !== 'sending') return [];
  const settled = { position: item.position, letter: item.letter, again: false };
  if (prepared === null)
    return [{ ...settled, why: 'its bytes were removed before it was known whether it was sent' }];
  if (hasReturned(work) || prepared.verdict.kind === 'skip') return [{ ...settled, why: null }];
  if (prepared.verdict.kind === 'refuse') return [{ ...settled, why: prepared.verdict.why }];
  return [];
}
