import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSent } from '@weir/ledger';
import { encodeEnvelope, envelopePrefix } from '@weir/reading';
import fc from 'fast-check';
import type { SpoolRecord } from '../spool/index.ts';
import { Tally } from './tally.ts';

const EDGE = 'e/s';
const prefix = envelopePrefix({ edge: EDGE, site: 's', device: 'd', via: 'mqtt' });
const nothing = (): number => 0;

/** A spool's records: each with its count, kind and partition. */
function records(shapes: readonly { count: number; letter?: boolean; partition?: number }[]): SpoolRecord[] {
  let k = 0;
  return shapes.map(({ count, letter = false, partition = 0 }, i) => {
    k += count;
    const body = encodeEnvelope(prefix, { n: i + 1, k, at: 1 }, Buffer.from('1'));
    return {
      kind: letter ? 'dead-letter' : 'reading',
      critical: false,
      partition,
      count,
      body,
      n: i + 1,
      at: 1,
    };
  });
}

test('a hole in the spool is counted in readings, and told with the next record', () => {
  const all = records([{ count: 2 }, { count: 5 }, { count: 1, letter: true }, { count: 3 }, { count: 1 }]);
  const tally = new Tally(EDGE, null, true, 9);
  assert.equal(tally.receive(all.slice(0, 1), nothing), 0);
  assert.equal(tally.receive(all.slice(3), nothing), 6);
  assert.deepEqual(parseSent(tally.header(0, 4)), {
    edge: EDGE,
    since: 9,
    before: 0,
    after: 4,
    letters: 0,
    buried: 0,
    dropped: 0,
    lost: 6,
  });
});

test('what the policy dropped is not lost; a segment that it only meant to drop hides no loss', () => {
  const all = records(Array.from({ length: 6 }, () => ({ count: 10 })));
  const tally = new Tally(EDGE, null, true, 9);
  tally.receive(all.slice(0, 1), nothing);
  const dropped = (n: number): number => (n >= 2 ? 10 : 0);
  assert.equal(tally.receive(all.slice(2, 3), dropped), 0);
  assert.equal(tally.numbers.dropped, 10);
  // said to be dropped up to 4, but 4 is there, and 5 is not
  const meant = (n: number): number => (n >= 4 ? 20 : 10);
  assert.equal(tally.receive(all.slice(3, 4), meant), 0);
  assert.equal(tally.receive(all.slice(5), meant), 10);
  assert.equal(tally.numbers.dropped, 10);
});

test('lines of an older version are outside, and where a count begins is not a hole', () => {
  const old = records([{ count: 3 }]).map((one) => ({
    ...one,
    body: encodeEnvelope(prefix, { n: 1, at: 1 }, Buffer.from('1')),
  }));
  const tally = new Tally(EDGE, null, false, 9);
  assert.equal(tally.receive(old, nothing), 0);
  const later = records([{ count: 1 }, { count: 1 }, { count: 1 }, { count: 1 }]);
  assert.equal(tally.receive(later.slice(1, 2), nothing), 0);
  assert.equal(tally.receive(later.slice(3), nothing), 1);
});

test('property: whatever is lost, wherever it is killed, everything taken is sent, a letter, or lost', () => {
  const shape = fc.record({
    count: fc.integer({ min: 1, max: 9 }),
    letter: fc.boolean(),
    partition: fc.nat(2),
  });
  const step = fc.record({ round: fc.integer({ min: 1, max: 4 }), crash: fc.boolean(), lose: fc.nat(3) });
  fc.assert(
    fc.property(
      fc.array(shape, { maxLength: 40 }),
      fc.array(step, { minLength: 20, maxLength: 60 }),
      (shapes, steps) => {
        const all = [...records([...shapes, { count: 1 }])];
        const gone = new Set<number>();
        let tally = new Tally(EDGE, null, true, 9);
        let saved = { next: 0, note: tally.note() };
        let next = 0;
        const headers = new Map<number, string>();
        for (const { round, crash, lose } of [
          ...steps,
          ...all.map(() => ({ round: 4, crash: false, lose: 0 })),
        ]) {
          // only what nobody has read yet can go
          for (let i = next; i < next + lose && i < all.length - 1; i++)
            if (![...headers.keys()].some((n) => n > i)) gone.add(i);
          const hand = all.slice(next, next + round).filter((_, i) => !gone.has(next + i));
          tally.receive(hand, nothing);
          for (const { kind, n, partition, count } of hand) {
            if (kind !== 'reading') continue;
            const header = tally.header(partition, count).split(' ').slice(0, 4).join(' ');
            assert.equal(headers.get(n) ?? header, header, 'sent again, it says the same');
            headers.set(n, header);
            tally.arrived(partition, count);
          }
          next = Math.min(all.length, next + round);
          if (crash) {
            tally = new Tally(EDGE, JSON.parse(JSON.stringify(saved.note)), false, 10);
            next = saved.next;
          } else saved = { next, note: tally.note() };
        }
        const { counted, sent, letters, lost } = tally.numbers;
        const missing = [...gone].reduce((sum, i) => sum + (all[i] as SpoolRecord).count, 0);
        assert.equal(lost, missing);
        assert.equal(
          counted,
          all.reduce((sum, { count }) => sum + count, 0),
        );
        assert.equal(counted, sent.reduce((sum, n) => sum + n, 0) + letters + lost);
      },
    ),
    { numRuns: 200 },
  );
});
