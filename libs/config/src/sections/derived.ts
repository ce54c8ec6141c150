import { ExpressionError, parseExpression } from '@weir/expression';
import { z } from 'zod';

/** As libs/reading has it for names: these would end up in routing keys and topics. */
const METRIC = /^[^\p{C}\p{Z}"\\/.*#+$]{1,128}$/u;

const derived = z.strictObject({
  metric: z.string().regex(METRIC, 'no spaces, quotes or / . * # + $ \\').describe('Name of the metric'),
  expression: z.string().min(1).describe('Arithmetic over metrics of one message'),
  unit: z.string().max(32).optional().describe('Unit of the result'),
  match: z
    .string()
    .regex(/^[^/\s]+\/[^/\s]+$/, 'a site and a device such as "plant-1/*"; * stands for any text')
    .default('*/*')
    .describe('Site and device that it holds for'),
});

export const derivedSection = z
  .array(derived)
  .superRefine((all, context) => {
    for (const [i, { metric, expression }] of all.entries()) {
      const refuse = (key: string, message: string): void =>
        context.addIssue({ code: 'custom', path: [i, key], message });
      if (all.findIndex((other) => other.metric === metric) < i)
        refuse('metric', `"${metric}" is defined twice`);
      try {
        for (const { metric: input } of parseExpression(expression).inputs) {
          if (input === metric) refuse('expression', `"${metric}" cannot be made of itself`);
          else if (all.findIndex((other) => other.metric === input) > i)
            refuse('expression', `"${input}" is defined further down; move it up`);
        }
      } catch (error) {
        if (!(error instanceof ExpressionError)) throw error;
        refuse('expression', error.message);
      }
    }
  })
  .default([])
  .describe(
    'Metrics computed within a message: list of {metric: power, expression: voltage * current, unit: W, match: "plant-1/*"}',
  );
