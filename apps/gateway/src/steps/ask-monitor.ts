import { ApiProblem } from '../http/problems.ts';

/** A monitor answers from memory. */
const DEADLINE_MS = 1_000;

/**
 * What a lag monitor says under a path of its admin server. Throws the problem `lag-monitor-away` when none answers.
 * @param schema of the answer: what comes from another process is checked
 */
export type AskMonitor = <T>(path: string, schema: { parse(body: unknown): T }) => Promise<T>;

/** @param monitors addresses of their admin servers; the first that answers is as good as any */
export function askMonitor(monitors: readonly string[]): AskMonitor {
  return async function askMonitor(path, schema) {
    const ask = async (base: string) => {
      const url = `${base}${path}`;
      const response = await fetch(url, { signal: AbortSignal.timeout(DEADLINE_MS) });
      if (!response.ok) throw new Error(`${url} answered ${response.status}`);
      return schema.parse(await response.json());
    };
    try {
      return await Promise.any(monitors.map(ask));
    } catch (error) {
      throw new ApiProblem('lag-monitor-away', 'No lag monitor answers, and nobody else knows.', {
        retryAfterSeconds: 5,
        cause: error,
      });
    }
  };
}
