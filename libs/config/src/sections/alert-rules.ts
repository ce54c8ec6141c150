import { z } from 'zod';
import { duration } from '../units.ts';

/** What a rule looks at. */
export const RULE_KINDS = [
  'threshold',
  'rate',
  'missing',
  'window',
  'anomaly',
  'offline',
  'edge-silent',
  'composite',
  'correlation',
] as const;
export type RuleKind = (typeof RULE_KINDS)[number];

/** Figures of a window that a rule can watch; `rate` is the change per second. */
export const WINDOW_FIGURES = [
  'mean',
  'min',
  'max',
  'sum',
  'count',
  'stddev',
  'first',
  'last',
  'p50',
  'p90',
  'p99',
  'rate',
] as const;
const LEVEL_NAMES = ['1s', '10s', '1m', '5m', '15m', '1h'] as const;

const ruleId = z.string().regex(/^[a-z0-9-]{1,64}$/, 'lower-case letters, digits and - only');
const label = z.string().regex(/^[a-zA-Z_][a-zA-Z0-9_]{0,63}$/, 'letters, digits and _ only');

const common = {
  id: ruleId.describe('Name of the rule'),
  site: z.string().min(1).max(64).default('*').describe('Site, or * for all'),
  severity: z.enum(['info', 'warning', 'critical']).default('warning').describe('Severity of the alert'),
  labels: z
    .record(label, z.string().max(200))
    .default({})
    .describe('Labels of its alerts, for grouping and for silences'),
};
const device = z.string().min(1).max(128).default('*').describe('Device, or * for all');
const metric = z.string().min(1).max(128).describe('Metric that the rule watches');
const hold = duration()
  .prefault('0s')
  .describe('Time for which the condition must last before it fires, by the times of what is watched');
const clear = z.coerce
  .number()
  .optional()
  .describe('Hysteresis: resolves only at this value or beyond on the good side');
const limits = {
  above: z.coerce.number().optional().describe('Fires above this value'),
  below: z.coerce.number().optional().describe('Fires below this value'),
  clear,
};

interface Limits {
  readonly above?: number | undefined;
  readonly below?: number | undefined;
  readonly clear?: number | undefined;
}

function checkLimits({ above, below, clear }: Limits, context: z.RefinementCtx): void {
  const refuse = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message });
  if (above === undefined && below === undefined) {
    refuse('above', 'a rule needs "above", "below" or both');
  } else if (above !== undefined && below !== undefined) {
    if (below >= above) refuse('below', 'must lie under "above"');
    if (clear !== undefined) refuse('clear', 'goes with one limit only');
  } else if (clear !== undefined && (above !== undefined ? clear > above : clear < Number(below))) {
    refuse('clear', 'must lie on the good side of the limit');
  }
}
const atLeast = (ms: number, text: string) =>
  [(value: number) => value >= ms, `must be at least ${text}`] as const;

const threshold = z
  .strictObject({
    kind: z.literal('threshold').default('threshold'),
    ...common,
    ...{ device, metric, hold, ...limits },
  })
  .superRefine(checkLimits);

const rate = z
  .strictObject({
    kind: z.literal('rate'),
    ...common,
    ...{ device, metric, hold, ...limits },
    over: duration()
      .refine(...atLeast(1_000, '1s'))
      .prefault('1m')
      .describe('Span of event time over which the change is taken'),
    per: duration()
      .refine(...atLeast(1, '1ms'))
      .prefault('1s')
      .describe('The limits are a change per this time'),
  })
  .superRefine(checkLimits);

const missing = z.strictObject({
  kind: z.literal('missing'),
  ...common,
  ...{ device, metric },
  after: duration()
    .refine(...atLeast(1_000, '1s'))
    .describe('Fires when no reading has arrived for this long'),
});

const level = z.enum(LEVEL_NAMES);
const window = z
  .strictObject({
    kind: z.literal('window'),
    ...common,
    ...{ device, metric, hold, ...limits },
    level: level.describe('Length of the windows'),
    figure: z.enum(WINDOW_FIGURES).describe('Figure of the window that the limits are for'),
  })
  .superRefine(checkLimits);

const anomaly = z
  .strictObject({
    kind: z.literal('anomaly'),
    ...common,
    ...{ device, metric, hold, clear },
    level: level.default('1m').describe('Length of the windows that are scored'),
    above: z.coerce
      .number()
      .min(0)
      .default(1)
      .describe('Fires above this score; 1 is a deviation that the series exceeds once in four weeks'),
  })
  .superRefine(checkLimits);

const offline = z.strictObject({
  kind: z.literal('offline'),
  ...common,
  device,
  phi: z.coerce
    .number()
    .min(0.5)
    .max(16)
    .default(8)
    .describe('Suspicion at which a device counts as offline: -log10 of the chance that it is not'),
});

const edgeSilent = z.strictObject({
  kind: z.literal('edge-silent'),
  ...common,
  after: duration()
    .refine(...atLeast(5_000, '5s'))
    .prefault('30s')
    .describe('Fires when an edge has reported nothing for this long'),
});

/** Rules joined by and, or and not; a rule's id stands for "it fires for this device". */
export type Condition =
  | string
  | { readonly all: readonly Condition[] }
  | { readonly any: readonly Condition[] }
  | { readonly not: Condition };
const condition: z.ZodType<Condition> = z.lazy(() =>
  z.union(
    [
      ruleId,
      z.strictObject({ all: z.array(condition).min(1).max(32) }),
      z.strictObject({ any: z.array(condition).min(1).max(32) }),
      z.strictObject({ not: condition }),
    ],
    { error: 'expected the id of a rule, or one of all: [...], any: [...], not: ...' },
  ),
);

const composite = z.strictObject({
  kind: z.literal('composite'),
  ...common,
  ...{ device, hold },
  when: condition.describe('Rules joined by all, any and not'),
});

const correlation = z
  .strictObject({
    kind: z.literal('correlation'),
    ...common,
    rule: ruleId.describe('Rule whose alerts are counted'),
    devices: z.coerce
      .number()
      .int()
      .min(2)
      .max(10_000)
      .describe('Fires when this many devices of a site have an alert of the rule'),
    within: duration()
      .refine(...atLeast(1_000, '1s'))
      .describe('Their alerts fire within this time'),
    clear: z.coerce
      .number()
      .int()
      .min(0)
      .optional()
      .describe('Resolves when no more devices than this have one; default: fewer than "devices"'),
    grace: duration()
      .optional()
      .describe('How long an alert of the rule waits for others before it is told; default: "within"'),
  })
  .refine(({ clear, devices }) => clear === undefined || clear < devices, {
    path: ['clear'],
    message: 'must be less than "devices"',
  });

/** One rule, as weir.yaml and the API have it. */
export const alertRule = z.discriminatedUnion(
  'kind',
  [threshold, rate, missing, window, anomaly, offline, edgeSilent, composite, correlation],
  {
    error: (issue) =>
      issue.code === 'invalid_union' ? `no such kind of rule; there are ${RULE_KINDS.join(', ')}` : undefined,
  },
);
export type AlertRule = z.output<typeof alertRule>;
export type RuleOf<K extends RuleKind> = Extract<AlertRule, { kind: K }>;

/** The rules that a condition names. */
export function rulesIn(when: Condition): readonly string[] {
  if (typeof when === 'string') return [when];
  if ('not' in when) return rulesIn(when.not);
  return ('all' in when ? when.all : when.any).flatMap(rulesIn);
}

/** The rules that a rule is made of. */
export function memberRules(rule: AlertRule): readonly string[] {
  if (rule.kind === 'composite') return rulesIn(rule.when);
  return rule.kind === 'correlation' ? [rule.rule] : [];
}

/** What a set of rules has wrong as a whole: ids, and rules that others are made of. Empty: nothing. */
export function ruleSetProblems(
  rules: readonly AlertRule[],
): readonly { readonly index: number; readonly key: string; readonly message: string }[] {
  const problems: { index: number; key: string; message: string }[] = [];
  const known = new Map(rules.map((rule) => [rule.id, rule]));
  const reaches = (from: AlertRule, id: string, seen: Set<string>): boolean =>
    memberRules(from).some((member) => {
      if (member === id) return true;
      const rule = known.get(member);
      return rule !== undefined && !seen.has(member) && reaches(rule, id, seen.add(member));
    });
  const firstOf = new Map<string, number>();
  for (const [index, rule] of rules.entries()) {
    const key = rule.kind === 'composite' ? 'when' : 'rule';
    const refuse = (message: string, at = key): void => void problems.push({ index, key: at, message });
    if (firstOf.has(rule.id)) refuse(`two rules share the id "${rule.id}"`, 'id');
    else firstOf.set(rule.id, index);
    for (const id of memberRules(rule)) {
      const member = known.get(id);
      if (member === undefined) refuse(`there is no rule "${id}"`);
      else if (member.kind === 'correlation' || member.kind === 'edge-silent')
        refuse(`"${id}" is no rule about a device`);
    }
    if (reaches(rule, rule.id, new Set())) refuse('the rule is made of itself');
  }
  return problems;
}
