import type { ProblemCode } from '@weir/api';
import { ApiProblem } from '../http/problems.ts';

/** A monitor answers from memory, except for history. */
const DEADLINE_MS = 1_000;

/**
 * What a lag monitor says under a path of its admin server. Throws the problem `lag-monitor-away` when none answers,
 * `bad-request`, `not-found` or `lag-unknown` in the words of one that does.
 * @param schema of the answer: what comes from another process is checked
 * @param deadlineMs time that it has; longer where it asks the database
 */
export type AskMonitor = <T>(
  path: string,
  schema: { parse(body: unknown): T },
  deadlineMs?: number,
) => Promise<T>;

/** @param monitors addresses of their admin servers; the first that answers is as good as any */
export function askMonitor(monitors: readonly string[]): AskMonitor {
  return async function askMonitor(path, schema, deadlineMs = DEADLINE_MS) {
    const ask = async (base: string) => {
      const url = `${base}${path}`;
      const response = await fetch(url, { signal: AbortSignal.timeout(deadlineMs) });
      const body: unknown = await response.json();
      if (!response.ok) throw refused(url, response.status, body);
      return schema.parse(body);
    };
    try {
      return await Promise.any(monitors.map(ask));
    } catch (error) {
      const said = error instanceof AggregateError ? error.errors : [error];
      const refusals = said.filter((one) => one instanceof ApiProblem);
      throw (
        refusals[0] ??
        new ApiProblem('lag-monitor-away', 'No lag monitor answers, and nobody else knows.', {
          retryAfterSeconds: 5,
          cause: error,
        })
      );
    }
  };
}

/** What a monitor that is well may answer instead of what was asked for. */
const REFUSALS: ReadonlyMap<number, ProblemCode> = new Map([
  [400, 'bad-request'],
  [404, 'not-found'],
  [503, 'lag-unknown'],
]);

function refused(url: string, status: number, body: unknown): Error {
  const { title } = body as { title?: unknown };
  const code = REFUSALS.get(status);
  if (typeof title !== 'string' || code === undefined) return new Error(`${url} answered ${status}`);
  return new ApiProblem(code, title, status === 503 ? { retryAfterSeconds: 5 } : {});
}
