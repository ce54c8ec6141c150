import { type Runner, recordAudit } from '@weir/connect-timescale';
import type { DeadLetterReason } from '@weir/flow';
import { TABLES } from '@weir/topology';
import type { Letter, LetterStatus } from './letter.ts';
import { ACTIVE_STATES, type ItemState, type PauseCause, type ReplayPlan, type ReplayTask } from './tasks.ts';

/** Statements of the one worker that plans and sends. Those that change something belong into its fenced transactions. */

/** Begins the plan of a task, or begins it again after a worker died over it. */
export async function forgetPlan(runner: Runner, id: string): Promise<void> {
  await runner.query('planning a replay', `DELETE FROM ${TABLES.replayItems} WHERE task = $1`, [id]);
}

export interface PlannedItem {
  readonly letter: string;
  readonly destination: string | null;
  /** `waiting`: it is to be sent, or parked when its turn comes. */
  readonly state: Extract<ItemState, 'waiting' | 'skipped' | 'failed'>;
  readonly why: string | null;
}

/** @param from position of the first one */
export async function addItems(
  runner: Runner,
  id: string,
  from: number,
  items: readonly PlannedItem[],
): Promise<void> {
  await runner.query(
    `planning ${items.length} letters`,
    `INSERT INTO ${TABLES.replayItems} (task, position, letter, destination, state, why)
     SELECT $1, $2 + n - 1, letter, destination, state, why
       FROM unnest($3::text[], $4::text[], $5::text[], $6::text[]) WITH ORDINALITY
         AS i (letter, destination, state, why, n)`,
    [
      id,
      from,
      items.map(({ letter }) => letter),
      items.map(({ destination }) => destination),
      items.map(({ state }) => state),
      items.map(({ why }) => why),
    ],
  );
}

/** False when somebody has cancelled the task meanwhile. */
export async function finishPlan(runner: Runner, id: string, plan: ReplayPlan): Promise<boolean> {
  const rows = await runner.query(
    'keeping the plan of a replay',
    `UPDATE ${TABLES.replayTasks}
        SET plan = $2, skipped = $3, failed = $4, state = CASE WHEN starts THEN 'running' ELSE 'planned' END,
            state_at = now(), started_at = CASE WHEN starts THEN now() END
      WHERE id = $1 AND state = 'planning' RETURNING 1`,
    [id, JSON.stringify(plan), plan.skip, plan.refuse],
  );
  return rows.length === 1;
}

/** An item that waits, or of which it is not known whether it was sent. */
export interface OpenItem {
  readonly position: number;
  readonly letter: string;
  readonly state: Extract<ItemState, 'waiting' | 'sending'>;
  /** Of one in `sending`. */
  readonly replayCount: number | null;
}

/** The next items, in the order of sending. */
export function openItems(runner: Runner, id: string, limit: number): Promise<OpenItem[]> {
  return runner.query<OpenItem & Record<string, unknown>>(
    'reading the next letters of a replay',
    `SELECT position, letter, state, replay_count AS "replayCount" FROM ${TABLES.replayItems}
      WHERE task = $1 AND state IN ('waiting', 'sending') ORDER BY position LIMIT $2`,
    [id, limit],
  );
}

/** What is done with a waiting item before anything is sent. */
export interface Claim {
  readonly position: number;
  readonly letter: Pick<Letter, 'id' | 'status' | 'replayCount'>;
  readonly to: Extract<ItemState, 'sending' | 'skipped' | 'parked' | 'failed'>;
  readonly why: string | null;
}

/**
 * Counts the replays and says that these letters may be sent from now on; it comes first, so that one that returns at
 * once is never taken for one that was not sent. Answers the positions that were claimed: a letter that somebody
 * changed meanwhile goes on waiting. Null: the task is not running any more, and nothing is done.
 */
export async function claimItems(
  transaction: Runner,
  task: ReplayTask,
  claims: readonly Claim[],
): Promise<ReadonlySet<number> | null> {
  const [row] = await transaction.query<{ state: string; audit: string | null }>(
    'checking that the replay runs',
    `SELECT state, audit::text FROM ${TABLES.replayTasks} WHERE id = $1 FOR UPDATE`,
    [task.id],
  );
  if (row?.state !== 'running') return null;
  const of = (state: ItemState): Claim[] => claims.filter(({ to }) => to === state);
  const sending = await moveLetters(transaction, task, of('sending'), 'replayed', task.why);
  const parked = await moveLetters(transaction, task, of('parked'), 'parked', null);
  const moved = [...sending, ...parked, ...of('skipped'), ...of('failed')];
  if (moved.length === 0) return new Set();
  const rows = await transaction.query<{ position: number; state: ItemState }>(
    'claiming letters of a replay',
    `UPDATE ${TABLES.replayItems} i SET state = c.state, why = c.why, replay_count = c.replay_count
       FROM unnest($2::int[], $3::text[], $4::text[], $5::int[]) AS c (position, state, why, replay_count)
      WHERE i.task = $1 AND i.position = c.position AND i.state = 'waiting' RETURNING i.position, i.state`,
    [
      task.id,
      moved.map(({ position }) => position),
      moved.map(({ to }) => to),
      moved.map(({ why }) => why),
      moved.map(({ to, letter }) => (to === 'sending' ? letter.replayCount + 1 : null)),
    ],
  );
  const now = (state: ItemState): number => rows.filter((one) => one.state === state).length;
  await transaction.query(
    'counting letters of a replay',
    `UPDATE ${TABLES.replayTasks} SET skipped = skipped + $2, parked = parked + $3, failed = failed + $4 WHERE id = $1`,
    [task.id, now('skipped'), now('parked'), now('failed')],
  );
  if (row.audit !== null) await remember(transaction, row.audit, task.id, sending);
  for (const claim of parked) {
    const { id, status } = claim.letter;
    const why = `${claim.why}; replay ${task.id}: ${task.why}`;
    const audit = await recordAudit(transaction, {
      actor: task.by,
      action: 'dead-letter.park',
      subject: id,
      why,
      before: { status },
      after: { status: 'parked' },
    });
    await remember(transaction, audit, task.id, [claim]);
  }
  return new Set(rows.map(({ position }) => position));
}

/** Those of these letters that still were as they were read. */
async function moveLetters(
  transaction: Runner,
  { by }: ReplayTask,
  claims: readonly Claim[],
  to: LetterStatus,
  why: string | null,
): Promise<Claim[]> {
  if (claims.length === 0) return [];
  const rows = await transaction.query<{ position: number }>(
    `noting ${claims.length} letters as ${to}`,
    `UPDATE ${TABLES.deadLetters} l
        SET status = $1, replay_count = l.replay_count + $2, status_at = now(), status_by = $3, status_why = c.why
       FROM unnest($4::int[], $5::text[], $6::text[], $7::int[], $8::text[])
         AS c (position, letter, status, replay_count, why)
      WHERE l.id = c.letter AND l.status = c.status AND l.replay_count = c.replay_count
      RETURNING c.position`,
    [
      to,
      to === 'replayed' ? 1 : 0,
      by,
      claims.map(({ position }) => position),
      claims.map(({ letter }) => letter.id),
      claims.map(({ letter }) => letter.status),
      claims.map(({ letter }) => letter.replayCount),
      claims.map((claim) => why ?? claim.why),
    ],
  );
  const found = new Set(rows.map(({ position }) => position));
  return claims.filter(({ position }) => found.has(position));
}

async function remember(
  transaction: Runner,
  audit: string,
  task: string,
  claims: readonly Claim[],
): Promise<void> {
  if (claims.length === 0) return;
  await transaction.query(
    'keeping the history of letters',
    `INSERT INTO ${TABLES.deadLetterHistory} (letter, audit, detail)
     SELECT letter, $1, jsonb_build_object('task', $2::text, 'status', status, 'replayCount', replay_count)
       FROM unnest($3::text[], $4::text[], $5::int[]) AS c (letter, status, replay_count) ON CONFLICT DO NOTHING`,
    [
      audit,
      task,
      claims.map(({ letter }) => letter.id),
      claims.map(({ letter }) => letter.status),
      claims.map(({ letter }) => letter.replayCount),
    ],
  );
}

/** What came of letters that were being sent. */
export interface Settlement {
  readonly position: number;
  readonly letter: string;
  /** Null: sent. Else why its destination does not take it. */
  readonly why: string | null;
  /** It may have been sent before. */
  readonly again: boolean;
}

/** Calling it again with the same settlements changes nothing. */
export async function settleItems(
  transaction: Runner,
  id: string,
  settlements: readonly Settlement[],
): Promise<void> {
  const rows = await transaction.query<{ position: number }>(
    `settling ${settlements.length} letters of a replay`,
    `UPDATE ${TABLES.replayItems} i
        SET state = CASE WHEN s.why IS NULL THEN 'sent' ELSE 'failed' END, why = s.why,
            sent_at = CASE WHEN s.why IS NULL THEN now() END
       FROM unnest($2::int[], $3::text[]) AS s (position, why)
      WHERE i.task = $1 AND i.position = s.position AND i.state = 'sending' RETURNING i.position`,
    [id, settlements.map(({ position }) => position), settlements.map(({ why }) => why)],
  );
  const found = new Set(rows.map(({ position }) => position));
  const settled = settlements.filter(({ position }) => found.has(position));
  const refused = settled.filter(({ why }) => why !== null);
  await transaction.query(
    'counting letters of a replay',
    `UPDATE ${TABLES.replayTasks} SET sent = sent + $2, resent = resent + $3, failed = failed + $4 WHERE id = $1`,
    [
      id,
      settled.length - refused.length,
      settled.filter(({ why, again }) => why === null && again).length,
      refused.length,
    ],
  );
  if (refused.length === 0) return;
  await transaction.query(
    'opening letters that were not taken',
    `UPDATE ${TABLES.deadLetters} l SET status = 'open', status_at = now(), status_why = s.why
       FROM unnest($1::text[], $2::text[]) AS s (letter, why) WHERE l.id = s.letter AND l.status = 'replayed'`,
    [refused.map(({ letter }) => letter), refused.map(({ why }) => why)],
  );
}

/** Ends a task, or pauses it, in the worker's own name; false when it was not running any more. */
export async function leaveRunning(
  transaction: Runner,
  id: string,
  to: { readonly state: 'done' | 'failed' | 'paused'; readonly why: string; readonly cause?: PauseCause },
): Promise<boolean> {
  const rows = await transaction.query(
    `noting a replay as ${to.state}`,
    `UPDATE ${TABLES.replayTasks}
        SET state = $2, state_at = now(), state_by = $5, state_why = $3, pause_cause = $4,
            finished_at = CASE WHEN $2 = 'paused' THEN finished_at ELSE now() END
      WHERE id = $1 AND state IN ('planning', 'running') RETURNING 1`,
    [id, to.state, to.why, to.cause ?? null, WORKER],
  );
  if (rows.length === 0) return false;
  if (to.state !== 'paused') return true;
  const after = { state: to.state, cause: to.cause };
  await recordAudit(transaction, {
    actor: WORKER,
    action: 'dead-letter.pause-replay',
    subject: id,
    why: to.why,
    after,
  });
  return true;
}

/** A task that paused because of lag goes on; false when somebody else has done something with it. */
export async function resumeAfterLag(transaction: Runner, id: string, why: string): Promise<boolean> {
  const rows = await transaction.query(
    'resuming a replay',
    `UPDATE ${TABLES.replayTasks} SET state = 'running', state_at = now(), state_by = $3, state_why = $2, pause_cause = NULL
      WHERE id = $1 AND state = 'paused' AND pause_cause = 'lag' RETURNING 1`,
    [id, why, WORKER],
  );
  return rows.length === 1;
}

/** Destinations of the letters that a task has still to send. */
export async function openDestinations(runner: Runner, id: string): Promise<string[]> {
  const rows = await runner.query<{ destination: string }>(
    'reading where a replay sends to',
    `SELECT DISTINCT destination FROM ${TABLES.replayItems}
      WHERE task = $1 AND state IN ('waiting', 'sending') AND destination IS NOT NULL`,
    [id],
  );
  return rows.map(({ destination }) => destination);
}

/** Cancels plans that nobody resumed for this long, and forgets the letters of tasks that ended long ago. */
export async function tidyTasks(
  transaction: Runner,
  { planMs, itemsMs }: { readonly planMs: number; readonly itemsMs: number },
): Promise<void> {
  await transaction.query(
    'cancelling old plans',
    `UPDATE ${TABLES.replayTasks} SET state = 'cancelled', state_at = now(), finished_at = now(), state_by = $2,
            state_why = 'nobody resumed the plan'
      WHERE state = 'planned' AND state_at < now() - $1::float8 * INTERVAL '1 ms'`,
    [planMs, WORKER],
  );
  await transaction.query(
    'forgetting letters of old replays',
    `DELETE FROM ${TABLES.replayItems} i USING ${TABLES.replayTasks} t
      WHERE t.id = i.task AND t.finished_at < now() - $1::float8 * INTERVAL '1 ms'`,
    [itemsMs],
  );
}

const WORKER = 'weir';

/**
 * Destinations with open letters of a reason that are new, or came back, since the last task of the policy of both
 * began, and for which no task of it is under way.
 * @param readings topic for letters that did not come from a queue
 * @param policy name of the policy for a destination
 */
export async function waitingDestinations(
  runner: Runner,
  reason: DeadLetterReason,
  readings: string,
  policy: (destination: string) => string,
): Promise<string[]> {
  const waiting = await runner.query<{ destination: string; newest: Date }>(
    'looking for letters that a policy replays',
    `SELECT CASE WHEN origin_system = 'rabbitmq' THEN origin ELSE $2 END AS destination,
            max(greatest(arrived_at, status_at)) AS newest
       FROM ${TABLES.deadLetters} WHERE status = 'open' AND reason = $1 GROUP BY 1`,
    [reason, readings],
  );
  if (waiting.length === 0) return [];
  const tasks = await runner.query<{ policy: string; created: Date; active: boolean }>(
    'reading the tasks of a policy',
    `SELECT policy, max(created_at) AS created, bool_or(state = ANY($2)) AS active
       FROM ${TABLES.replayTasks} WHERE policy = ANY($1) GROUP BY policy`,
    [waiting.map(({ destination }) => policy(destination)), ACTIVE_STATES],
  );
  const known = new Map(tasks.map((task) => [task.policy, task]));
  return waiting.flatMap(({ destination, newest }) => {
    const task = known.get(policy(destination));
    return task === undefined || (!task.active && newest > task.created) ? destination : [];
  });
}
