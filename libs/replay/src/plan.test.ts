import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Piece } from './archive-index.ts';
import { planStretches } from './plan.ts';

const piece = (first: number, last: number): Piece => ({
  key: `${first}-${last}`,
  first: BigInt(first),
  last: BigInt(last),
  storedAt: last,
});
const log = (start: number, end: number) => ({ start: BigInt(start), end: BigInt(end) });
const brief = (...given: Parameters<typeof planStretches>): string[] =>
  planStretches(...given).map((one) => {
    const tail =
      one.source === 'none' ? ` by ${one.arrivedBy}` : one.source === 'log' && one.gap ? ' gap' : '';
    return `${one.source} ${one.from}-${one.to}${tail}`;
  });

test('the archive first, the log for what it does not hold, and holes by name', () => {
  assert.deepEqual(brief([piece(0, 9), piece(10, 19)], log(5, 25), 0n, 25n), [
    'archive 0-10',
    'archive 10-20',
    'log 20-25',
  ]);
  assert.deepEqual(brief([piece(0, 9), piece(20, 29)], log(15, 40), 0n, 35n), [
    'archive 0-10',
    'none 10-15 by 29',
    'log 15-20 gap',
    'archive 20-30',
    'log 30-35',
  ]);
  assert.deepEqual(brief([], undefined, 3n, 5n), ['none 3-5 by Infinity']);
  assert.deepEqual(brief([piece(0, 9)], log(0, 12), 0n, 15n), [
    'archive 0-10',
    'log 10-12',
    'none 12-15 by Infinity',
  ]);
  assert.deepEqual(brief([piece(0, 9), piece(4, 12)], undefined, 2n, 12n), ['archive 2-10', 'archive 10-12']);
});

test('every offset stands in one stretch, with its right owner', () => {
  const bounds = fc.tuple(fc.nat(40), fc.nat(40)).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
  fc.assert(
    fc.property(fc.array(bounds, { maxLength: 8 }), bounds, bounds, (objects, kept, wanted) => {
      const pieces = objects
        .map(([first, last]) => piece(first, last))
        .sort((a, b) => Number(a.first - b.first) || Number(b.last - a.last));
      const owners: string[] = [];
      let next = BigInt(wanted[0]);
      for (const stretch of planStretches(pieces, log(...kept), BigInt(wanted[0]), BigInt(wanted[1]))) {
        assert.equal(stretch.from, next);
        assert.ok(stretch.to > stretch.from);
        next = stretch.to;
        for (let at = stretch.from; at < stretch.to; at++) {
          owners.push(stretch.source);
          if (stretch.source === 'archive') assert.ok(stretch.piece.first <= at && at <= stretch.piece.last);
        }
      }
      assert.equal(next, BigInt(wanted[1]));
      const expected = Array.from({ length: wanted[1] - wanted[0] }, (_, i) => {
        const at = wanted[0] + i;
        if (objects.some(([first, last]) => first <= at && at <= last)) return 'archive';
        return at >= kept[0] && at < kept[1] ? 'log' : 'none';
      });
      assert.deepEqual(owners, expected);
    }),
  );
});
