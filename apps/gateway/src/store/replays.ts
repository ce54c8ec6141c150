import { randomUUID } from 'node:crypto';
import type { DeadLetterSelection, Replay } from '@weir/api';
import { type Database, type KeyedAnswer, once } from '@weir/connect-timescale';
import {
  commandTask,
  createTask,
  findTask,
  type ItemPage,
  listItems,
  listTasks,
  type ReplayItem,
  type ReplayTask,
  type TaskCommand,
  type TaskPage,
} from '@weir/dead-letters';

export interface NewReplay {
  readonly selection: DeadLetterSelection;
  readonly why: string;
  readonly rate?: number | undefined;
  readonly maxReplays?: number | undefined;
  readonly dryRun: boolean;
  readonly by: string;
  /** The caller's Idempotency-Key. */
  readonly key: string | null;
}

/** Replays of dead letters as the API shows them; the dead-letters app does the work. */
export interface ReplayStore {
  create(replay: NewReplay): Promise<KeyedAnswer<Replay>>;
  find(id: string): Promise<Replay | null>;
  list(page: TaskPage): Promise<Replay[]>;
  letters(id: string, page: ItemPage): Promise<ReplayItem[]>;
  /** Throws a data error (`WEIR_REJECTED`) when the state of the replay does not allow it. */
  command(
    id: string,
    command: TaskCommand,
    who: { readonly by: string; readonly why: string },
  ): Promise<Replay | null>;
}

export function replayStore(
  database: Database,
  defaults: { readonly replayRate: number; readonly maxReplays: number },
): ReplayStore {
  return {
    create({ key, ...request }) {
      const { selection, why, by, dryRun, rate, maxReplays } = request;
      return once(database, 'recording a replay', { scope: 'replays', key, request }, async (transaction) => {
        const id = randomUUID();
        await createTask(transaction, {
          id,
          by,
          why,
          selection,
          rate: rate ?? defaults.replayRate,
          maxReplays: maxReplays ?? defaults.maxReplays,
          starts: !dryRun,
        });
        return show((await findTask(transaction, id)) as ReplayTask);
      });
    },
    async find(id) {
      const task = await findTask(database, id);
      return task && show(task);
    },
    list: async (page) => (await listTasks(database, page)).map(show),
    letters: (id, page) => listItems(database, id, page),
    async command(id, command, who) {
      const task = await commandTask(database, id, command, who);
      return task && show(task);
    },
  };
}

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

function show({ returnsSeen: _, starts: __, ...task }: ReplayTask): Replay {
  return {
    ...task,
    plan: task.plan as Replay['plan'],
    selection: task.selection as Replay['selection'],
    createdAt: task.createdAt.toISOString(),
    stateAt: task.stateAt.toISOString(),
    startedAt: iso(task.startedAt),
    finishedAt: iso(task.finishedAt),
  };
}
