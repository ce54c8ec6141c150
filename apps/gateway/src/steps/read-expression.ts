import {
  EXPRESSION_FIGURES,
  type ExpressionValues,
  type expressionQuery,
  expressionValues,
  type Figures,
} from '@weir/api';
import { type Expression, ExpressionError, parseExpression } from '@weir/expression';
import { LEVELS } from '@weir/topology';
import type { z } from 'zod';
import { encodeCursor } from '../http/cursor.ts';
import { ApiProblem } from '../http/problems.ts';
import type { Store } from '../store/store.ts';
import type { Question } from './answer-cached.ts';
import { onlySite } from './find-device.ts';
import { levelFor, pageStart, rangeOf } from './read-windows.ts';
import { showFigures, time } from './show-figures.ts';

/** An expression over the windows of one device, at every window of [from, to), oldest first. */
export function readExpression(store: Store, now: () => number = Date.now) {
  return function readExpression(
    name: string,
    query: z.output<typeof expressionQuery>,
  ): Question<typeof expressionValues> {
    const { site, expr, limit } = query;
    const expression = parse(expr);
    const { from, to } = rangeOf(query, now());
    const level = LEVELS.find((one) => one.name === query.level) ?? levelFor(to - from);
    const size = level.seconds * 1_000;
    const first = Math.ceil(pageStart(query.cursor, from, to) / size) * size;
    const end = Math.min(to, first + limit * size);
    return {
      key: `expression:${JSON.stringify([name, site, expr, level.name, query.from, query.to, limit, query.cursor])}`,
      schema: expressionValues,
      load: async (): Promise<ExpressionValues> => {
        const metrics = [...new Set(expression.inputs.map(({ metric }) => metric))];
        let where = '';
        const windows = new Map<string, ReadonlyMap<number, Figures>>();
        for (const metric of metrics) {
          const state = onlySite(await store.seriesState(name, site, metric), name, site);
          where = state.site;
          if (state.seriesId === null)
            throw new ApiProblem('bad-request', `expr: device ${name} has sent no reading of ${metric}.`);
          const rows = await store.windows(state.seriesId, {
            level: level.name,
            from: first,
            to: end,
            limit,
          });
          windows.set(
            metric,
            new Map(rows.map(({ figures }) => [figures.start, showFigures(figures, size)])),
          );
        }
        const values: ExpressionValues['values'] = [];
        for (let start = first; start < end; start += size)
          values.push({ start: time(start), value: valueAt(expression, windows, start) });
        return {
          ...{ device: name, site: where, expr, level: level.name, seconds: level.seconds },
          ...{ from: time(from), to: time(to), values },
          next: end < to ? encodeCursor([end]) : null,
        };
      },
    };
  };
}

function parse(text: string): Expression {
  try {
    return parseExpression(text, EXPRESSION_FIGURES);
  } catch (error) {
    if (error instanceof ExpressionError) throw new ApiProblem('bad-request', `expr: ${error.message}.`);
    throw error;
  }
}

function valueAt(
  { inputs, evaluate }: Expression,
  windows: ReadonlyMap<string, ReadonlyMap<number, Figures>>,
  start: number,
): number | null {
  const values: number[] = [];
  for (const { metric, figure } of inputs) {
    const value = windows.get(metric)?.get(start)?.[figure as keyof Figures];
    if (typeof value !== 'number') return null;
    values.push(value);
  }
  const result = evaluate(values);
  return Number.isFinite(result) ? result : null;
}
