import type { DeadLetterSelection } from '@weir/api';
import { type Database, type Runner, recordAudit } from '@weir/connect-timescale';
import { WeirError } from '@weir/flow';
import { TABLES } from '@weir/topology';
import {
  afterCommand,
  type ItemState,
  type PauseCause,
  type ReplayPlan,
  type ReplayTask,
  type TaskCommand,
  type TaskState,
} from './tasks.ts';

interface Row extends Record<string, unknown> {
  readonly id: string;
  readonly created_at: Date;
  readonly by: string;
  readonly why: string;
  readonly policy: string | null;
  readonly selection: DeadLetterSelection;
  readonly rate: number;
  readonly max_replays: number;
  readonly starts: boolean;
  readonly state: TaskState;
  readonly state_at: Date;
  readonly state_by: string;
  readonly state_why: string;
  readonly pause_cause: PauseCause | null;
  readonly plan: ReplayPlan | null;
  readonly started_at: Date | null;
  readonly finished_at: Date | null;
  readonly sent: number;
  readonly resent: number;
  readonly skipped: number;
  readonly parked: number;
  readonly failed: number;
  readonly returns_seen: number;
}

const COLUMNS = `id, created_at, by, why, policy, selection, rate, max_replays, starts, state, state_at, state_by,
  state_why, pause_cause, plan, started_at, finished_at, sent, resent, skipped, parked, failed, returns_seen`;

const toTask = (row: Row): ReplayTask => ({
  id: row.id,
  createdAt: row.created_at,
  by: row.by,
  why: row.why,
  policy: row.policy,
  selection: row.selection,
  rate: row.rate,
  maxReplays: row.max_replays,
  starts: row.starts,
  state: row.state,
  stateAt: row.state_at,
  stateBy: row.state_by,
  stateWhy: row.state_why,
  pauseCause: row.pause_cause,
  plan: row.plan,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  sent: row.sent,
  resent: row.resent,
  skipped: row.skipped,
  parked: row.parked,
  failed: row.failed,
  returnsSeen: row.returns_seen,
});

export interface NewTask {
  /** UUID. */
  readonly id: string;
  readonly by: string;
  readonly why: string;
  /** The reason whose policy asks for it. */
  readonly policy?: string | undefined;
  readonly selection: DeadLetterSelection;
  /** Letters a second, at most. */
  readonly rate: number;
  readonly maxReplays: number;
  /** False: plan it, and wait. */
  readonly starts: boolean;
}

/** Records a task, for the worker to plan. */
export async function createTask(runner: Runner, task: NewTask): Promise<void> {
  const { id, by, why, selection, rate, maxReplays, starts } = task;
  const audit = await recordAudit(runner, {
    actor: by,
    action: starts ? 'dead-letter.replay' : 'dead-letter.plan-replay',
    subject: id,
    why,
    after: { selection, rate, maxReplays },
  });
  await runner.query(
    'recording the replay',
    `INSERT INTO ${TABLES.replayTasks}
       (id, by, why, policy, selection, rate, max_replays, starts, state, state_by, state_why, audit)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'planning', $2, $3, $9)`,
    [id, by, why, task.policy ?? null, JSON.stringify(selection), rate, maxReplays, starts, audit],
  );
}

/** Null when there is no such task. */
export async function findTask(runner: Runner, id: string): Promise<ReplayTask | null> {
  const [row] = await runner.query<Row>(
    'reading a replay',
    `SELECT ${COLUMNS} FROM ${TABLES.replayTasks} WHERE id = $1`,
    [id],
  );
  return row === undefined ? null : toTask(row);
}

export interface TaskPage {
  readonly states?: readonly TaskState[] | undefined;
  /** Id of the last task of the page before. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** Newest first. */
export async function listTasks(runner: Runner, { states, after, limit }: TaskPage): Promise<ReplayTask[]> {
  const rows = await runner.query<Row>(
    'listing replays',
    `SELECT ${COLUMNS} FROM ${TABLES.replayTasks}
      WHERE ($1::text[] IS NULL OR state = ANY($1))
        AND ($2::uuid IS NULL OR (created_at, id) < (SELECT created_at, id FROM ${TABLES.replayTasks} WHERE id = $2))
      ORDER BY created_at DESC, id DESC LIMIT $3`,
    [states ?? null, after ?? null, limit],
  );
  return rows.map(toTask);
}

/**
 * Does what somebody asks of a task, with a row in the audit trail; null when there is no such task. The same command
 * again changes nothing. Throws a data error (`WEIR_REJECTED`) when its state does not allow it.
 */
export function commandTask(
  database: Database,
  id: string,
  command: TaskCommand,
  { by, why }: { readonly by: string; readonly why: string },
): Promise<ReplayTask | null> {
  return database.transaction(`asking a replay to ${command}`, async (transaction) => {
    const [row] = await transaction.query<Row>(
      'reading a replay',
      `SELECT ${COLUMNS} FROM ${TABLES.replayTasks} WHERE id = $1 FOR UPDATE`,
      [id],
    );
    if (row === undefined) return null;
    const { state } = row;
    const next = afterCommand(state, command);
    // A pause of the task's own becomes a person's, so that it does not end by itself.
    const again = state === RESULT[command] && !(command === 'pause' && row.pause_cause !== 'person');
    if (next === null && again) return toTask(row);
    const to = next ?? (command === 'pause' && state === 'paused' ? 'paused' : null);
    if (to === null)
      throw new WeirError(
        'WEIR_REJECTED',
        'data',
        `A replay that is ${state} cannot ${command}: ${HINTS[state]}.`,
      );
    await transaction.query(
      `asking a replay to ${command}`,
      `UPDATE ${TABLES.replayTasks}
          SET state = $2, state_at = now(), state_by = $3, state_why = $4,
              pause_cause = CASE WHEN $2 = 'paused' THEN 'person' END,
              started_at = CASE WHEN $2 = 'running' THEN coalesce(started_at, now()) ELSE started_at END,
              finished_at = CASE WHEN $2 = 'cancelled' THEN now() ELSE finished_at END,
              returns_seen = CASE WHEN $2 = 'running' THEN $5 ELSE returns_seen END
        WHERE id = $1`,
      [id, to, by, why, to === 'running' ? await countReturns(transaction, id) : 0],
    );
    const actor = { actor: by, subject: id, why };
    await recordAudit(transaction, {
      ...actor,
      action: `dead-letter.${command}-replay`,
      before: { state },
      after: { state: to },
    });
    return findTask(transaction, id);
  });
}

const RESULT: Readonly<Record<TaskCommand, TaskState>> = {
  pause: 'paused',
  resume: 'running',
  cancel: 'cancelled',
};
const HINTS: Readonly<Record<TaskState, string>> = {
  planning: 'its letters are being looked at; ask again in a moment',
  planned: 'nothing has been sent yet; resume or cancel it',
  running: 'it is being sent; pause or cancel it',
  paused: 'resume or cancel it',
  done: 'it has ended; make a new one',
  cancelled: 'it has ended; make a new one',
  failed: 'it has ended; make a new one',
};

/** Letters of a task that came back as dead letters after it had sent them. */
export async function countReturns(runner: Runner, id: string): Promise<number> {
  const [row] = await runner.query<{ count: number }>(
    'counting letters that came back',
    `SELECT count(*)::int AS count FROM ${TABLES.deadLetters} l JOIN ${TABLES.replayItems} i ON i.letter = l.id
      WHERE l.returned_count > 0 AND i.task = $1 AND l.returned_count >= i.replay_count`,
    [id],
  );
  return row?.count ?? 0;
}

/** A letter of a task. */
export interface ReplayItem {
  readonly position: number;
  readonly letter: string;
  readonly destination: string | null;
  readonly state: ItemState;
  readonly why: string | null;
  /** The replay count that it bears; null before it is sent. */
  readonly replayCount: number | null;
  readonly sentAt: Date | null;
}

export interface ItemPage {
  readonly states?: readonly ItemState[] | undefined;
  /** Position of the last item of the page before. */
  readonly after?: number | undefined;
  readonly limit: number;
}

/** In the order of sending. */
export function listItems(
  runner: Runner,
  task: string,
  { states, after, limit }: ItemPage,
): Promise<ReplayItem[]> {
  return runner.query<ReplayItem & Record<string, unknown>>(
    'listing the letters of a replay',
    `SELECT position, letter, destination, state, why, replay_count AS "replayCount", sent_at AS "sentAt"
       FROM ${TABLES.replayItems}
      WHERE task = $1 AND position > $2 AND ($3::text[] IS NULL OR state = ANY($3))
      ORDER BY position LIMIT $4`,
    [task, after ?? -1, states ?? null, limit],
  );
}
