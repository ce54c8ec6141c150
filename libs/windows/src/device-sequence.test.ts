import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DeviceSequences } from './device-sequence.ts';

function sequences(): DeviceSequences {
  const made = new DeviceSequences();
  made.grow(4);
  return made;
}
/** Device time of a message of a device that sends once a second. */
const stampOf = (seq: number): number => 1_700_000_000_000 + seq * 1_000;

/** Numbers 0 to 60 in order, then some lost, some moved back, some sent again. */
const orders = fc
  .array(fc.record({ lost: fc.integer({ min: 0, max: 9 }), later: fc.nat(30), again: fc.nat(12) }), {
    minLength: 2,
    maxLength: 60,
  })
  .map((messages) => {
    const sent: { seq: number; place: number }[] = [];
    messages.forEach(({ lost, later, again }, seq) => {
      if (lost === 0) return;
      const delay = later > 20 ? later - 20 : 0;
      sent.push({ seq, place: seq + delay });
      if (again > 9) sent.push({ seq, place: seq + delay + again });
    });
    return sent.sort((a, b) => a.place - b.place).map(({ seq }) => seq);
  });

test('gaps, missing numbers and reorderings equal a recount, cut and restored anywhere', () => {
  fc.assert(
    fc.property(orders, fc.boolean(), fc.nat(60), (order, isStamped, cut) => {
      let state = sequences();
      const seen = new Set<number>();
      let last = -1;
      let gaps = 0;
      let reordered = 0;
      order.forEach((seq, k) => {
        if (k === cut) {
          const saved = JSON.parse(JSON.stringify(state.save(2))) as ReturnType<DeviceSequences['save']>;
          state = sequences();
          state.restore(2, saved);
        }
        const isNew = !seen.has(seq);
        if (isNew && last >= 0 && seq > last + 1) gaps++;
        if (isNew && seq < last) reordered++;
        seen.add(seq);
        last = Math.max(last, seq);
        state.observe(2, seq, isStamped ? stampOf(seq) : Number.NaN, !isNew);
      });
      const first = order[0];
      // Without device times a number below the first one may as well be the start of another numbering.
      if (!isStamped && first !== undefined && order.some((seq) => seq < first)) return;
      const lowest = Math.min(...order);
      const missing = order.length === 0 ? 0 : last - lowest + 1 - seen.size;
      assert.deepEqual(state.counts(2), {
        last: last < 0 ? null : last,
        gaps,
        missing,
        reordered,
        restarts: 0,
      });
      assert.deepEqual(state.counts(1), { last: null, gaps: 0, missing: 0, reordered: 0, restarts: 0 });
    }),
    { numRuns: 500 },
  );
});

test('a device that counts from the beginning again has lost nothing', () => {
  const state = sequences();
  for (let seq = 5; seq <= 50; seq++) state.observe(0, seq, stampOf(seq), false);
  for (let seq = 0; seq <= 20; seq++) state.observe(0, seq, stampOf(60 + seq), false);
  assert.deepEqual(state.counts(0), { last: 20, gaps: 0, missing: 0, reordered: 0, restarts: 1 });
});

test('a repetition after a late reading is no new numbering', () => {
  const state = sequences();
  for (let seq = 0; seq <= 20; seq++) state.observe(0, seq, stampOf(seq), false);
  state.observe(0, 21, stampOf(21) - 60_000, false);
  state.observe(0, 18, stampOf(18), false);
  state.observe(0, 22, stampOf(22), false);
  assert.deepEqual(state.counts(0), { last: 22, gaps: 0, missing: 0, reordered: 0, restarts: 0 });
});

test('without device times two consecutive old numbers begin a new numbering, a flagged repetition does not', () => {
  const state = sequences();
  for (let seq = 0; seq <= 50; seq++) state.observe(0, seq, Number.NaN, false);
  for (let seq = 40; seq <= 50; seq++) state.observe(0, seq, Number.NaN, true);
  assert.equal(state.counts(0).restarts, 0);
  for (let seq = 0; seq <= 10; seq++) state.observe(0, seq, Number.NaN, false);
  assert.deepEqual(state.counts(0), { last: 10, gaps: 0, missing: 0, reordered: 0, restarts: 1 });
});

test('a backlog of any length fills its gap', () => {
  const state = sequences();
  state.observe(0, 0, stampOf(0), false);
  for (let seq = 5_000; seq < 5_100; seq++) state.observe(0, seq, stampOf(seq), false);
  assert.deepEqual(state.counts(0), { last: 5_099, gaps: 1, missing: 4_999, reordered: 0, restarts: 0 });
  for (let seq = 1; seq < 5_000; seq++) state.observe(0, seq, stampOf(seq), false);
  assert.deepEqual(state.counts(0), { last: 5_099, gaps: 1, missing: 0, reordered: 4_999, restarts: 0 });
});

test('memory stays bounded: of more than 32 ranges the oldest stay missing', () => {
  const state = sequences();
  for (let seq = 0; seq < 200; seq += 2) state.observe(0, seq, stampOf(seq), false);
  assert.equal(state.save(0).holes.length, 64);
  assert.deepEqual([state.counts(0).gaps, state.counts(0).missing], [99, 99]);
});
