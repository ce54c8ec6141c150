import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assignSticky } from './sticky-assigner.ts';

const PARTITIONS = Array.from({ length: 12 }, (_, i) => i);
const evenly = (count: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.floor((12 + i) / count)).sort((a, b) => b - a);

test('whatever members say that they own, every partition has one owner and the shares are even', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 15 }),
      fc.array(fc.array(fc.integer({ min: 0, max: 14 }), { maxLength: 14 }), { maxLength: 15 }),
      (members, claims) => {
        const owned = new Map(members.map((member, i) => [member, claims[i] ?? []]));
        const assigned = assignSticky(owned, PARTITIONS);
        assert.deepEqual([...assigned.keys()].sort(), [...members].sort());
        const all = [...assigned.values()].flat().sort((a, b) => a - b);
        assert.deepEqual(all, PARTITIONS);
        const shares = [...assigned.values()].map(({ length }) => length).sort((a, b) => b - a);
        assert.deepEqual(shares, evenly(members.length));
      },
    ),
  );
});

test('members that come and go move only the partitions that must move', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ joins: fc.boolean(), who: fc.nat(20) }), { minLength: 1, maxLength: 40 }),
      (steps) => {
        let assigned = assignSticky(new Map([['m-0', []]]), PARTITIONS);
        let next = 1;
        for (const { joins, who } of steps) {
          const before = assigned;
          const owned = new Map<string, readonly number[]>(before);
          if (joins || owned.size === 1) owned.set(`m-${next++}`, []);
          else owned.delete([...owned.keys()][who % owned.size] as string);
          assigned = assignSticky(owned, PARTITIONS);
          const most = Math.ceil(12 / owned.size);
          for (const [member, own] of assigned) {
            const had = before.get(member) ?? [];
            const lost = had.filter((partition) => !own.includes(partition)).length;
            const gained = own.filter((partition) => !had.includes(partition)).length;
            assert.ok(lost === 0 || gained === 0, 'nobody swaps');
            assert.ok(
              lost <= Math.max(0, had.length - Math.floor(12 / owned.size)),
              'nobody loses its share',
            );
            assert.ok(own.length <= most);
          }
        }
      },
    ),
  );
});
