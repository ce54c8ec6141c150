import { TABLES } from '@weir/topology';
import type { Runner } from './database.ts';

/** What somebody changed by hand. */
export interface AuditEntry {
  /** Who: up to 200 characters. */
  readonly actor: string;
  /** `<noun>.<verb>`, for example `silence.create`. */
  readonly action: string;
  /** What was changed: the id of an alert, the name of a rule. */
  readonly subject: string;
  readonly why: string;
  /** The thing as it was, as JSON; left out where there was none. */
  readonly before?: unknown;
  /** The thing as it became, as JSON; left out where there is none now. */
  readonly after?: unknown;
}

export interface AuditRow extends AuditEntry {
  readonly id: string;
  readonly at: Date;
  readonly before: unknown;
  readonly after: unknown;
}

export interface AuditQuery {
  readonly subject?: string | undefined;
  /** One action, or all of a noun with `silence.*`. */
  readonly action?: string | undefined;
  readonly limit: number;
  /** Only rows before the one with this id. */
  readonly before?: string | undefined;
}

const json = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));

/** Adds a row, in the transaction of the change that it tells of. Answers its id. */
export async function recordAudit(runner: Runner, entry: AuditEntry): Promise<string> {
  const [row] = await runner.query<{ id: string }>(
    'recording who changed what',
    `INSERT INTO ${TABLES.auditTrail} (actor, action, subject, why, before, after)
     VALUES ($1, $2, $3, $4, $5, $6) RETURNING id::text`,
    [entry.actor, entry.action, entry.subject, entry.why, json(entry.before), json(entry.after)],
  );
  return (row as { id: string }).id;
}

/** Newest first. */
export async function readAudit(runner: Runner, query: AuditQuery): Promise<AuditRow[]> {
  const noun = query.action?.endsWith('.*') === true ? query.action.slice(0, -1) : null;
  return runner.query<AuditRow>(
    'reading who changed what',
    `SELECT id::text, at, actor, action, subject, why, before, after FROM ${TABLES.auditTrail}
      WHERE ($1::text IS NULL OR subject = $1) AND ($2::text IS NULL OR action = $2)
        AND ($3::text IS NULL OR starts_with(action, $3)) AND ($4::bigint IS NULL OR id < $4)
      ORDER BY audit_trail.id DESC LIMIT $5`,
    [
      query.subject ?? null,
      noun === null ? (query.action ?? null) : null,
      noun,
      query.before ?? null,
      query.limit,
    ],
  );
}
