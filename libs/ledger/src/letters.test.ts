import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type LetterPlace, openLetters, passLetters } from './letters.ts';

const steps = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('append' as const), count: fc.integer({ min: 1, max: 9 }) }),
    fc.record({ do: fc.constant('cut' as const), count: fc.integer({ min: 1, max: 9 }) }),
    // a crash comes before the place is written, or behind it and before the group's offset
    fc.record({
      do: fc.constant('read' as const),
      count: fc.integer({ min: 1, max: 9 }),
      crash: fc.constantFrom('none' as const, 'before' as const, 'behind' as const),
    }),
  ),
  { maxLength: 60 },
);

test('property: what left the log unread is counted exactly, whoever crashes, and what came is counted once', () => {
  fc.assert(
    fc.property(steps, (all) => {
      let start = 0n;
      let end = 0n;
      let committed: bigint | null = null;
      let stored: LetterPlace | null = null;
      const read = new Set<bigint>();
      const gone = new Set<bigint>();
      const readSome = (count: bigint, crash: 'none' | 'before' | 'behind'): void => {
        const known: LetterPlace = openLetters(stored, { committed, end });
        stored = known;
        const from = (committed ?? 0n) > start ? (committed as bigint) : start;
        const next = from + count < end ? from + count : end;
        if (next <= from || crash === 'before') return;
        stored = passLetters(known, { first: from, next, start });
        for (let at = from; at < next; at++) read.add(at);
        if (crash === 'none') committed = next;
      };
      for (const step of all) {
        if (step.do === 'append') end += BigInt(step.count);
        else if (step.do === 'read') readSome(BigInt(step.count), step.crash);
        else {
          const to = start + BigInt(step.count) < end ? start + BigInt(step.count) : end;
          for (let at = start; at < to; at++) if (!read.has(at)) gone.add(at);
          start = to;
        }
      }
      end += 1n;
      readSome(end, 'none');
      const { next, taken, missing } = stored as unknown as LetterPlace;
      assert.deepEqual([next, taken, missing], [end, read.size, gone.size]);
    }),
    { numRuns: 300 },
  );
});

test('counting begins where the group is, and anew with a topic that was made anew', () => {
  const log = { committed: 40n, end: 50n };
  assert.deepEqual(openLetters(null, log), { next: 40n, taken: 0, missing: 0 });
  assert.deepEqual(openLetters(null, { committed: null, end: 50n }), { next: 0n, taken: 0, missing: 0 });
  const known = { next: 60n, taken: 20, missing: 3 };
  assert.deepEqual(openLetters(known, log), { next: 0n, taken: 20, missing: 3 });
  assert.deepEqual(openLetters(known, { ...log, end: 60n }), known);
});

test('an offset without a record is no letter, unless the log begins behind it', () => {
  const known = { next: 10n, taken: 10, missing: 0 };
  assert.deepEqual(passLetters(known, { first: 11n, next: 15n, start: 3n }), {
    next: 15n,
    taken: 14,
    missing: 0,
  });
  assert.deepEqual(passLetters(known, { first: 14n, next: 15n, start: 13n }), {
    next: 15n,
    taken: 11,
    missing: 3,
  });
});
