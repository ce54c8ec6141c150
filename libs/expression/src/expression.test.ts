import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ExpressionError, parseExpression } from './expression.ts';

const compute = (text: string, values: readonly number[]): number => parseExpression(text).evaluate(values);

test('arithmetic, in the usual order', () => {
  assert.equal(compute('voltage * current', [230, 2]), 460);
  assert.equal(compute('a - b - c', [10, 3, 2]), 5);
  assert.equal(compute('a + b * -c', [1, 2, 3]), -5);
  assert.equal(compute('(a + b) / 2', [1, 4]), 2.5);
  assert.equal(compute('max(a, b, 0) % 3 + abs(-a)', [5, 7]), 6);
  assert.equal(compute('sqrt(floor(a)) + ceil(b) - min(b, 1.5e0)', [9.9, 1.2]), 3.8);
  assert.equal(compute('a / b', [1, 0]), Number.POSITIVE_INFINITY);
});

test('inputs are listed once, in their order; names may stand in quotes', () => {
  const { inputs, evaluate } = parseExpression("'fan-speed' / 60 - größe_1 * 'fan-speed'");
  assert.deepEqual(inputs, [
    { metric: 'fan-speed', figure: null },
    { metric: 'größe_1', figure: null },
  ]);
  assert.equal(evaluate([60, 2]), -119);
});

test('figures of windows', () => {
  const { inputs, evaluate } = parseExpression("(a.mean - 'b-1'.mean) / 'b-1'.mean + a.max", ['mean', 'max']);
  assert.deepEqual(inputs, [
    { metric: 'a', figure: 'mean' },
    { metric: 'b-1', figure: 'mean' },
    { metric: 'a', figure: 'max' },
  ]);
  assert.equal(evaluate([3, 2, 7]), 7.5);
  assert.throws(() => parseExpression('a + b.mean', ['mean']), /a needs a figure, such as a\.mean/);
  assert.throws(() => parseExpression('a.meen', ['mean']), /no such figure; there are mean/);
  assert.throws(() => parseExpression('a["mean"]', ['mean']), /no such figure/);
  assert.throws(() => parseExpression('a.mean'), /a figure cannot stand here/);
});

test('what is not such an expression is refused with a reason', () => {
  const wrong: Record<string, RegExp> = {
    '': /expected one expression/,
    'a b': /expected one expression/,
    'a +': /Expected expression after \+/,
    '(a': /Unclosed \(/,
    'a ** 2': /\*\* is not known/,
    'a ? 1 : 2': /expected one expression/,
    'a == 1': /== is not known/,
    '!a': /! is not known/,
    'pow(a, 2)': /no such function/,
    'a.constructor("x")': /no such function/,
    'abs(a, 1)': /abs takes one value, not 2/,
    'min()': /min takes one value or more/,
    '1 + 2': /names no metric/,
    'true + a': /true is not a number/,
    'this + a': /expected one expression/,
    '[a]': /expected one expression/,
    'a; b': /expected one expression/,
  };
  for (const [text, message] of Object.entries(wrong))
    assert.throws(
      () => parseExpression(text),
      (error) => error instanceof ExpressionError && message.test(error.message),
      text,
    );
  assert.throws(() => parseExpression(`a + ${'1 + '.repeat(200)} 1`), /at most 500 characters/);
});

test('any text is an expression or refused as one, never anything else', () => {
  const part = fc.constantFrom(
    'a',
    "'b c'",
    '1',
    '(',
    ')',
    '+',
    '/',
    '.mean',
    'max',
    ',',
    '[',
    '"',
    '`',
    '{',
    '=',
    '?',
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), fc.boolean(), (parts, figures) => {
      try {
        const { inputs, evaluate } = parseExpression(parts.join(' '), figures ? ['mean'] : undefined);
        assert.equal(typeof evaluate(inputs.map(() => 1)), 'number');
      } catch (error) {
        assert.ok(error instanceof ExpressionError, String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});
