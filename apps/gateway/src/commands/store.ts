import { randomUUID } from 'node:crypto';
import type { Command, CommandRequest } from '@weir/api';
import { type Database, once } from '@weir/connect-timescale';
import { TABLES } from '@weir/topology';

interface Row {
  readonly id: string;
  readonly site: string;
  readonly device: string;
  readonly name: string;
  readonly payload: Command['payload'];
  readonly state: Command['state'];
  readonly created_at: Date;
  readonly created_by: string;
  readonly deadline: Date;
  readonly sent_at: Date | null;
  readonly delivered_at: Date | null;
  readonly delivered_by: string | null;
  readonly answered_at: Date | null;
  readonly answer: Command['answer'];
  readonly finished_at: Date | null;
  readonly attempts: number;
  readonly problem: string | null;
}

const COLUMNS = `id, site, device, name, payload, state, created_at, created_by, deadline, sent_at, delivered_at,
  delivered_by, answered_at, answer, finished_at, attempts, problem`;
const OPEN = `state IN ('queued', 'sent', 'delivered')`;
const NOBODY = 'no edge serves this site at the moment; it is tried again until the deadline';

const iso = (date: Date | null): string | null => date?.toISOString() ?? null;

function show(row: Row): Command {
  const { id, site, device, name, payload, state, attempts, answer } = row;
  return {
    ...{ id, site, device, name, payload, state, attempts, answer },
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    deadline: row.deadline.toISOString(),
    sentAt: iso(row.sent_at),
    deliveredAt: iso(row.delivered_at),
    deliveredBy: row.delivered_by,
    answeredAt: iso(row.answered_at),
    finishedAt: iso(row.finished_at),
    problem: row.problem,
  };
}

export interface NewCommand extends CommandRequest {
  readonly site: string;
  readonly device: string;
  readonly by: string;
  readonly deadlineMs: number;
  /** The caller's Idempotency-Key. */
  readonly key: string | null;
}

/** A command on its way out. */
export interface QueuedCommand {
  readonly id: string;
  readonly site: string;
  readonly device: string;
  readonly name: string;
  readonly payload: Command['payload'];
  readonly deadline: Date;
  /** Milliseconds that are left, by the database's clock. */
  readonly left: number;
}

/** What a device said of a command, over which edge. */
export interface CommandAnswer {
  readonly id: string;
  readonly site: string;
  readonly device: string;
  readonly edge: string;
  readonly ok: boolean;
  readonly result: unknown;
}

export interface CommandFilter {
  readonly site?: string | undefined;
  readonly device?: string | undefined;
  readonly state?: Command['state'] | undefined;
  readonly after?: readonly [createdAt: Date, id: string] | undefined;
  readonly limit: number;
}

/** Times are those of the database, so that all gateways agree on a deadline. */
export interface CommandStore {
  /** Stores a new command; with a key that is known, answers what was stored with it (see `once`). */
  add(command: NewCommand): Promise<{ readonly command: Command | null; readonly isNew: boolean }>;
  find(id: string): Promise<Command | null>;
  list(filter: CommandFilter): Promise<readonly Command[]>;
  /**
   * Those that are due to be published, each given to one gateway only for the next second. One that an edge holds is
   * due again: its device may go to an edge that had none of the site before.
   */
  claimDue(limit: number): Promise<readonly QueuedCommand[]>;
  /** What came of publishing them: taken by a queue, or wanted by none. */
  published(sent: readonly string[], unroutable: readonly string[]): Promise<void>;
  delivered(id: string, edge: string): Promise<Command | null>;
  answered(answer: CommandAnswer): Promise<Command | null>;
  /** Ends those whose deadline has passed, and answers them. */
  expire(): Promise<readonly Command[]>;
  /** Forgets what was asked for more than `days` ago. */
  forget(days: number): Promise<void>;
}

export function commandStore(database: Database): CommandStore {
  const table = TABLES.commands;
  const some = async (doing: string, text: string, values: readonly unknown[]): Promise<Command[]> =>
    (await database.query<Row>(doing, text, values)).map(show);
  const one = async (doing: string, text: string, values: readonly unknown[]): Promise<Command | null> =>
    (await some(doing, text, values))[0] ?? null;
  const find = (id: string): Promise<Command | null> =>
    one('reading a command', `SELECT ${COLUMNS} FROM ${table} WHERE id = $1`, [id]);

  return {
    async add({ site, device, name, payload, by, deadlineMs, key }) {
      const request = { site, device, name, payload, deadlineMs };
      const { answer, again } = await once(
        database,
        'storing a command',
        { scope: 'commands', key, request },
        async (transaction) => {
          const id = randomUUID();
          await transaction.query(
            'storing a command',
            `INSERT INTO ${table} (id, site, device, name, payload, created_by, deadline)
             VALUES ($1, $2, $3, $4, $5::jsonb, $6, now() + $7 * interval '1 millisecond')`,
            [id, site, device, name, JSON.stringify(payload), by, deadlineMs],
          );
          return id;
        },
      );
      return { command: await find(answer), isNew: !again };
    },
    find,
    list: ({ site, device, state, after, limit }) =>
      some(
        'listing commands',
        `SELECT ${COLUMNS} FROM ${table}
          WHERE ($1::text IS NULL OR site = $1) AND ($2::text IS NULL OR device = $2)
            AND ($3::text IS NULL OR state = $3)
            AND ($4::timestamptz IS NULL OR (created_at, id) < ($4::timestamptz, $5::uuid))
          ORDER BY created_at DESC, id DESC LIMIT $6`,
        [site ?? null, device ?? null, state ?? null, after?.[0] ?? null, after?.[1] ?? null, limit],
      ),
    claimDue: (limit) =>
      database.query<QueuedCommand>(
        'taking commands that are due',
        `UPDATE ${table} AS c SET attempts = attempts + 1, next_attempt_at = now() + interval '1 second'
          WHERE id IN (SELECT id FROM ${table}
                        WHERE state IN ('queued', 'sent') AND next_attempt_at <= now() AND deadline > now()
                        ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED)
         RETURNING id, site, device, name, payload, deadline,
                   (extract(epoch FROM deadline - now()) * 1000)::float8 AS left`,
        [limit],
      ),
    async published(sent, unroutable) {
      await database.query(
        'noting that commands were sent',
        `UPDATE ${table} SET sent_at = coalesce(sent_at, now()), problem = NULL, next_attempt_at = now() + interval '5 seconds',
                state = CASE state WHEN 'queued' THEN 'sent' ELSE state END
          WHERE id = ANY($1::uuid[])`,
        [sent],
      );
      if (unroutable.length > 0)
        await database.query(
          'noting that no edge wants a command',
          `UPDATE ${table} SET problem = $2 WHERE id = ANY($1::uuid[]) AND state = 'queued'`,
          [unroutable, NOBODY],
        );
    },
    delivered: (id, edge) =>
      one(
        'noting that a command was delivered',
        `UPDATE ${table} SET delivered_at = coalesce(delivered_at, now()), delivered_by = coalesce(delivered_by, $2),
                state = CASE WHEN state IN ('queued', 'sent') THEN 'delivered' ELSE state END,
                problem = CASE state WHEN 'expired' THEN 'delivered, and not answered in time' END
          WHERE id = $1 RETURNING ${COLUMNS}`,
        [id, edge],
      ),
    // Only the device itself answers, and its first answer counts.
    answered: ({ id, site, device, edge, ok, result }) =>
      one(
        'noting the answer to a command',
        `UPDATE ${table} SET answered_at = now(), answer = $5::jsonb,
                delivered_at = coalesce(delivered_at, now()), delivered_by = coalesce(delivered_by, $6),
                state = CASE WHEN state = 'expired' THEN state WHEN $4 THEN 'acknowledged' ELSE 'failed' END,
                problem = CASE state WHEN 'expired' THEN 'answered after the deadline' END,
                finished_at = coalesce(finished_at, now())
          WHERE id = $1 AND site = $2 AND device = $3 AND answered_at IS NULL RETURNING ${COLUMNS}`,
        [id, site, device, ok, JSON.stringify(result ?? null), edge],
      ),
    expire: () =>
      some(
        'ending commands that are too late',
        `UPDATE ${table} SET state = 'expired', finished_at = now(),
                problem = CASE state WHEN 'queued' THEN coalesce(problem, 'RabbitMQ did not take it')
                                     WHEN 'sent' THEN 'the device was not connected, or listened to no commands'
                                     ELSE 'delivered, and not answered in time' END
          WHERE ${OPEN} AND deadline <= now() RETURNING ${COLUMNS}`,
        [],
      ),
    async forget(days) {
      await database.query(
        'forgetting old commands',
        `DELETE FROM ${table} WHERE created_at < now() - $1 * interval '1 day'`,
        [days],
      );
    },
  };
}
