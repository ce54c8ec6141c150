import jsep from 'jsep';

/** A number that an expression needs: a metric, or a figure of a metric's window. */
export interface Input {
  readonly metric: string;
  /** Null when the expression is over metrics. */
  readonly figure: string | null;
}

export interface Expression {
  readonly text: string;
  /** Each once, in the order in which they stand in the text. */
  readonly inputs: readonly Input[];
  /**
   * The value for these values of the inputs, in their order; infinite or NaN after a division by zero and the like.
   * The same bits everywhere: each operation is exact, or correctly rounded by IEEE 754.
   */
  evaluate(values: readonly number[]): number;
}

/** A text that is not an expression; the message says where and why. */
export class ExpressionError extends Error {}

type Evaluate = Expression['evaluate'];

const MAX_LENGTH = 500;
const BINARY: Readonly<Record<string, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
};
/** No logarithms or powers: their last bit depends on the machine, and windows must be the same when computed again. */
const FUNCTIONS: ReadonlyMap<
  string,
  { readonly call: (...values: number[]) => number; readonly many: boolean }
> = new Map([
  ['abs', { call: Math.abs, many: false }],
  ['sqrt', { call: Math.sqrt, many: false }],
  ['floor', { call: Math.floor, many: false }],
  ['ceil', { call: Math.ceil, many: false }],
  ['min', { call: Math.min, many: true }],
  ['max', { call: Math.max, many: true }],
]);
const HELP = `numbers, ( ), + - * / % and ${[...FUNCTIONS.keys()].join(', ')}`;

/**
 * Parses an expression over metrics (`voltage * current`), or with `figures` over figures of their windows
 * (`(a.mean - b.mean) / b.mean`). A name with other characters than letters, digits and _ stands in quotes:
 * `'fan-speed' / 60`. Throws `ExpressionError`.
 * @param figures the figures that there are
 */
export function parseExpression(text: string, figures?: readonly string[]): Expression {
  if (text.length > MAX_LENGTH)
    throw new ExpressionError(`an expression has at most ${MAX_LENGTH} characters, this one ${text.length}`);
  let tree: jsep.Expression;
  try {
    tree = jsep(text);
  } catch (error) {
    throw new ExpressionError(`"${text}": ${(error as Error).message}`);
  }
  const inputs: Input[] = [];
  const refuse = (why: string): never => {
    throw new ExpressionError(`"${text}": ${why}`);
  };
  const input = (metric: string, figure: string | null): Evaluate => {
    let at = inputs.findIndex((one) => one.metric === metric && one.figure === figure);
    if (at < 0) at = inputs.push({ metric, figure }) - 1;
    return (values) => values[at] as number;
  };
  const metricOf = (node: jsep.CoreExpression): string => {
    if (node.type === 'Identifier') return node.name;
    if (node.type === 'Literal' && typeof node.value === 'string') return node.value;
    return refuse('expected the name of a metric');
  };
  const metric = (node: jsep.Identifier | jsep.Literal): Evaluate => {
    const name = metricOf(node);
    if (figures === undefined) return input(name, null);
    return refuse(`${name} needs a figure, such as ${name}.${figures[0]}; there are ${figures.join(', ')}`);
  };
  const compile = (any: jsep.Expression): Evaluate => {
    const node = any as jsep.CoreExpression;
    switch (node.type) {
      case 'Literal': {
        const { value } = node;
        if (typeof value === 'number') return () => value;
        return typeof value === 'string' ? metric(node) : refuse(`${node.raw} is not a number`);
      }
      case 'Identifier':
        return metric(node);
      case 'MemberExpression': {
        const name = metricOf(node.object as jsep.CoreExpression);
        if (figures === undefined) return refuse(`${name}: a figure cannot stand here, only the metric`);
        const figure = (node.property as jsep.CoreExpression).name;
        if (
          node.computed ||
          node.optional === true ||
          typeof figure !== 'string' ||
          !figures.includes(figure)
        )
          return refuse(`${name}: no such figure; there are ${figures.join(', ')}`);
        return input(name, figure);
      }
      case 'UnaryExpression': {
        const argument = compile(node.argument);
        if (node.operator === '+') return argument;
        return node.operator === '-'
          ? (values) => -argument(values)
          : refuse(`${node.operator} is not known; there are ${HELP}`);
      }
      case 'BinaryExpression': {
        const operate = BINARY[node.operator];
        if (operate === undefined) return refuse(`${node.operator} is not known; there are ${HELP}`);
        const [left, right] = [compile(node.left), compile(node.right)];
        return (values) => operate(left(values), right(values));
      }
      case 'CallExpression': {
        const callee = node.callee as jsep.CoreExpression;
        const name = callee.type === 'Identifier' ? callee.name : '';
        const found = FUNCTIONS.get(name);
        if (found === undefined) return refuse(`no such function; there are ${HELP}`);
        const given = node.arguments.length;
        if (found.many ? given < 1 : given !== 1)
          return refuse(`${name} takes ${found.many ? 'one value or more' : 'one value'}, not ${given}`);
        const values = node.arguments.map(compile);
        return (all) => found.call(...values.map((value) => value(all)));
      }
      default:
        return refuse(`expected one expression of ${HELP}`);
    }
  };
  const evaluate = compile(tree);
  if (inputs.length === 0) refuse('names no metric');
  return { text, inputs, evaluate };
}
