import { type Expression, parseExpression } from '@weir/expression';
import type { LineHead, Reading } from '@weir/reading';
import { patternOf } from './rollup-groups.ts';

/** A metric that is computed from other metrics of the same message. */
export interface DerivedMetric {
  readonly metric: string;
  /** See libs/expression. */
  readonly expression: string;
  readonly unit?: string | undefined;
  /** `site/device`; `*` stands for any text within one of the two. */
  readonly match: string;
}

/** What became of the derived metrics, by metric. */
export interface DerivedCounts {
  /** Readings that were made. */
  made: number;
  /** The result was not a finite number, as after a division by zero: no reading. */
  notFinite: number;
  /** The message had a value of its own under this name, which counts: no reading. */
  given: number;
}

interface Definition {
  readonly metric: string;
  readonly unit: string | undefined;
  readonly pattern: RegExp | null;
  readonly expression: Expression;
  readonly values: number[];
  readonly counts: DerivedCounts;
}

const EVERY_DEVICE = '*/*';

/**
 * Makes the function that adds derived readings to those of a line. It depends on line and definitions alone. The
 * metrics of one message that have the same time and sequence number belong together; where all inputs of a
 * definition are among them, a reading with that time and sequence number follows, after the readings that were sent.
 * A definition may use the ones before it. Throws `ExpressionError`.
 * @param counts told of what is made and what is not
 */
export function deriving(
  metrics: readonly DerivedMetric[],
  counts: (metric: string) => DerivedCounts = () => ({ made: 0, notFinite: 0, given: 0 }),
): (head: LineHead, sent: readonly Reading[]) => readonly Reading[] {
  const definitions: Definition[] = metrics.map(({ metric, unit, match, expression }) => ({
    metric,
    unit,
    pattern: match === EVERY_DEVICE ? null : patternOf(match),
    expression: parseExpression(expression),
    values: [],
    counts: counts(metric),
  }));
  const narrow = definitions.some(({ pattern }) => pattern !== null);
  const known = new Map<string, readonly Definition[]>();
  const definitionsOf = ({ site, device }: LineHead): readonly Definition[] => {
    if (!narrow) return definitions;
    const name = `${site}/${device}`;
    let found = known.get(name);
    if (found === undefined) {
      if (known.size >= KNOWN_DEVICES) known.clear();
      found = definitions.filter(({ pattern }) => pattern === null || pattern.test(name));
      known.set(name, found);
    }
    return found;
  };
  const together = new Map<string, number>();
  return (head, sent) => {
    const own = definitionsOf(head);
    if (own.length === 0) return sent;
    let out: Reading[] | null = null;
    for (let from = 0; from < sent.length; ) {
      const first = sent[from] as Reading;
      together.clear();
      let to = from;
      for (; to < sent.length; to++) {
        const next = sent[to] as Reading;
        if (next.ts !== first.ts || next.seq !== first.seq || next.stamped !== first.stamped) break;
        if (together.has(next.metric)) break;
        together.set(next.metric, next.value);
      }
      for (const definition of own) {
        const value = compute(definition, together);
        if (value === null) continue;
        const { metric, unit } = definition;
        out ??= [...sent];
        out.push({ metric, ts: first.ts, stamped: first.stamped, seq: first.seq, value, unit });
        together.set(metric, value);
      }
      from = to;
    }
    return out ?? sent;
  };
}

/** Devices whose definitions are remembered. */
const KNOWN_DEVICES = 100_000;

/** Null when an input is missing, or when there is no reading for a reason that is counted. */
function compute(
  { metric, expression, values, counts }: Definition,
  together: ReadonlyMap<string, number>,
): number | null {
  for (let i = 0; i < expression.inputs.length; i++) {
    const value = together.get((expression.inputs[i] as { metric: string }).metric);
    if (value === undefined) return null;
    values[i] = value;
  }
  if (together.has(metric)) {
    counts.given++;
    return null;
  }
  const value = expression.evaluate(values);
  if (!Number.isFinite(value)) {
    counts.notFinite++;
    return null;
  }
  counts.made++;
  return value;
}
