import type { Transaction } from '@weir/connect-timescale';
import {
  addItems,
  finishPlan,
  forgetPlan,
  fullLetters,
  type PlannedItem,
  PlanSum,
  type ReplayTask,
} from '@weir/dead-letters';
import type { ReplayParts } from './parts.ts';
import type { Prepared } from './prepare-letters.ts';

const PAGE = 1_000;

/**
 * Makes a step that finds out what is to be done with each letter of a task, and keeps it. Begun again after a crash,
 * it begins at the beginning.
 */
export function planTask({ database, write, insist, prepare, events }: ReplayParts) {
  return async function planTask(task: ReplayTask, signal: AbortSignal): Promise<void> {
    const { id, by, maxReplays, rate } = task;
    // What is parked or purged was put aside by somebody: only who names the status gets it.
    const selection = { status: ['open' as const, 'replayed' as const], ...task.selection };
    const sum = new PlanSum();
    await write('planning a replay', signal, (transaction) => forgetPlan(transaction, id));
    const step = <T>(work: () => Promise<T>): Promise<T> => insist('planning a replay', signal, work);
    for (let position = 0, after = -1n; ; ) {
      const from = after;
      const letters = await step(() =>
        fullLetters(database, selection, { order: 'oldest', after: from, limit: PAGE }),
      );
      const last = letters.at(-1);
      if (last === undefined) break;
      const prepared = await step(() => prepare(letters, { task: id, by, maxReplays }));
      for (const { letter, verdict } of prepared) sum.add(letter, verdict);
      const at = position;
      await write('planning a replay', signal, (transaction: Transaction) =>
        addItems(transaction, id, at, prepared.map(itemOf)),
      );
      position += prepared.length;
      after = last.seq;
    }
    const plan = sum.plan(rate);
    await write('planning a replay', signal, (transaction) => finishPlan(transaction, id, plan));
    events.planned(task, plan);
  };
}

function itemOf({ letter, verdict }: Prepared): PlannedItem {
  const planned = { letter: letter.id, destination: verdict.kind === 'send' ? verdict.destination : null };
  const why = verdict.kind === 'send' ? null : verdict.why;
  const states = { send: 'waiting', park: 'waiting', skip: 'skipped', refuse: 'failed' } as const;
  return { ...planned, state: states[verdict.kind], why };
}
