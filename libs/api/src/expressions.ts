import { z } from 'zod';
import { cursorParam, instant, instantParam, next } from './common.ts';
import { deviceSite, figures, levelName } from './windows.ts';

/** Figures that an expression may name: the numbers among those of a window. */
export const EXPRESSION_FIGURES: readonly string[] = Object.keys(
  figures.omit({ firstAt: true, lastAt: true }).shape,
);

export const expressionQuery = z.strictObject({
  site: deviceSite,
  expr: z
    .string()
    .min(1)
    .max(500)
    .describe(`Arithmetic over figures of this device's metrics: ${EXPRESSION_FIGURES.join(', ')}`)
    .meta({ example: '(inlet.mean - outlet.mean) / outlet.mean' }),
  level: levelName
    .optional()
    .describe('Window size; without it the finest level with at most 600 windows in the range'),
  from: instantParam.optional().describe('Start, inclusive; default one hour before `to`'),
  to: instantParam.optional().describe('End, exclusive; default now'),
  limit: z.coerce.number().int().min(1).max(10_000).default(1_000),
  cursor: cursorParam.optional(),
});

export const expressionValues = z
  .object({
    device: z.string(),
    site: z.string(),
    expr: z.string(),
    level: levelName,
    seconds: z.number().int().describe('Length of a window'),
    from: instant,
    to: instant,
    values: z.array(
      z.object({
        start: instant,
        value: z
          .number()
          .nullable()
          .describe('null where an input has no window or no such figure, or the result is not finite'),
      }),
    ),
    next,
  })
  .meta({ id: 'ExpressionValues' });
export type ExpressionValues = z.output<typeof expressionValues>;
