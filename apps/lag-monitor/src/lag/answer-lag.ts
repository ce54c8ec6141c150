import {
  type LagDetail,
  type LagExplanation,
  type LagHistory,
  type LagList,
  lagHistoryQuery,
  lagTarget,
} from '@weir/api';
import type { Runner } from '@weir/connect-timescale';
import { errorMessage } from '@weir/flow';
import type { Question } from '@weir/observe';
import { type AskBusy, type Board, showGroup, showPartition } from './board.ts';
import { readHistory } from './history.ts';

const WORST = 10;
const HOUR_MS = 3_600_000;

const problem = (status: number, title: string) => ({ status, body: { title } });
const NOT_YET = problem(503, 'Nothing was measured yet.');
const UNWATCHED = problem(404, 'There is no such group or queue, or it is not watched.');

/** `GET /lag`: all groups and queues, worst first; 503 before the first measurement. */
export function answerLag(board: Board, intervalMs: number): Question {
  return () => {
    if (board.at === null) return NOT_YET;
    const body: LagList = {
      at: new Date(board.at).toISOString(),
      intervalMs,
      groups: board.standings.map(showGroup),
      problems: board.problems,
      left: board.left,
    };
    return { status: 200, body };
  };
}

/** `GET /lag/group?system=…&group=…`: one of them, with its partitions. */
export function answerGroup(board: Board): Question {
  return (query) => {
    const target = lagTarget.safeParse(Object.fromEntries(query));
    if (!target.success) return problem(400, messageOf(target.error));
    const found = board.find(target.data.system, target.data.group);
    if (found === undefined) return board.at === null ? NOT_YET : UNWATCHED;
    const body: LagDetail = { group: showGroup(found), members: found.judged.partitions.map(showPartition) };
    return { status: 200, body };
  };
}

/** `GET /lag/explain?system=…&group=…`: the rule, the numbers and the likely cause. */
export function answerExplain(board: Board, askBusy: AskBusy): Question {
  return (query) => {
    const target = lagTarget.safeParse(Object.fromEntries(query));
    if (!target.success) return problem(400, messageOf(target.error));
    const found = board.find(target.data.system, target.data.group);
    if (found === undefined) return board.at === null ? NOT_YET : UNWATCHED;
    const [cause, ...others] = board.causes(found, askBusy);
    const worst = found.judged.partitions.slice(0, WORST).map(showPartition);
    const body: LagExplanation = { group: showGroup(found), cause, others, worst };
    return { status: 200, body };
  };
}

/** `GET /lag/history?system=…&group=…&from=…&to=…&points=…`; 503 when the database does not answer. */
export function answerHistory(database: Runner): Question {
  return async (query) => {
    const asked = lagHistoryQuery.safeParse(Object.fromEntries(query));
    if (!asked.success) return problem(400, messageOf(asked.error));
    const { system, group, to = Date.now(), from = to - HOUR_MS, points } = asked.data;
    if (from >= to) return problem(400, 'from: must lie before to');
    try {
      const body: LagHistory = await readHistory(database, { system, group, from, to, points });
      return { status: 200, body };
    } catch (error) {
      return problem(503, errorMessage(error));
    }
  };
}

const messageOf = ({ issues }: { issues: readonly { path: PropertyKey[]; message: string }[] }): string =>
  issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ');
