import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareHlc, HybridClock, hlcMs } from './hlc.ts';

const T0 = 1_700_000_000_000;

test('a stamp is the millisecond and a counter, in hexadecimal digits that order as text', () => {
  const clock = new HybridClock();
  assert.equal(clock.tick(T0), `${T0.toString(16).padStart(12, '0')}0000`);
  assert.equal(clock.tick(T0), `${T0.toString(16).padStart(12, '0')}0001`);
  assert.equal(clock.tick(T0 - 30_000), `${T0.toString(16).padStart(12, '0')}0002`);
  assert.equal(clock.tick(T0 + 1), `${(T0 + 1).toString(16).padStart(12, '0')}0000`);
  assert.equal(hlcMs(clock.latest()), T0 + 1);
  assert.equal(hlcMs('0123'), null);
  assert.equal(hlcMs(12), null);
});

test('a full counter goes on in the next millisecond', () => {
  const clock = new HybridClock();
  let before = '';
  for (let k = 0; k < 70_000; k++) {
    const stamp = clock.tick(T0);
    assert.ok(stamp > before);
    before = stamp;
  }
  assert.equal(clock.ms, T0 + 1);
});

test('property: stamps grow over any steps of the wall clock, merges and restarts', () => {
  const step = fc.record({
    what: fc.constantFrom('tick', 'tick', 'tick', 'merge', 'restart'),
    wall: fc.integer({ min: -40_000, max: 40_000 }),
    other: fc.integer({ min: -40_000, max: 40_000 }),
    count: fc.integer({ min: 0, max: 0xffff }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let clock = new HybridClock();
      let before = '';
      for (const { what, wall, other, count } of steps) {
        const now = T0 + wall;
        if (what === 'merge') {
          const stamp = (T0 + other).toString(16).padStart(12, '0') + count.toString(16).padStart(4, '0');
          const latest = clock.latest();
          const taken = clock.merge(stamp, now, 10_000);
          assert.equal(taken, other - wall <= 10_000);
          if (!taken) assert.equal(clock.latest(), latest, 'what is too far ahead changes nothing');
          else assert.ok(clock.latest() > stamp && clock.latest() > latest);
        } else if (what === 'restart') {
          const { ms } = clock;
          clock = new HybridClock();
          clock.resume(ms);
        }
        const stamp = clock.tick(now);
        assert.ok(stamp > before, `${stamp} after ${before}`);
        assert.equal(stamp.length, 16);
        before = stamp;
      }
    }),
    { numRuns: 300 },
  );
});

test('property: with a clock exchange, what was caused by another edge comes after it', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(2), fc.nat(2), fc.nat(5)), { maxLength: 60 }), (sends) => {
      const edges = [new HybridClock(), new HybridClock(), new HybridClock()];
      const skew = [0, -900, 1_400];
      let t = T0;
      for (const [from, to, pause] of sends) {
        t += pause;
        const cause = {
          hlc: (edges[from] as HybridClock).tick(t + (skew[from] as number)),
          edge: `e${from}`,
        };
        (edges[to] as HybridClock).merge(cause.hlc, t + (skew[to] as number), 10_000);
        const effect = { hlc: (edges[to] as HybridClock).tick(t + (skew[to] as number)), edge: `e${to}` };
        assert.equal(compareHlc(cause, effect), -1);
        assert.equal(compareHlc(effect, cause), 1);
      }
    }),
    { numRuns: 200 },
  );
});

test('equal stamps of two edges have an order', () => {
  assert.equal(compareHlc({ hlc: 'a', edge: 'x' }, { hlc: 'a', edge: 'y' }), -1);
  assert.equal(compareHlc({ hlc: 'a', edge: 'y' }, { hlc: 'a', edge: 'x' }), 1);
  assert.equal(compareHlc({ hlc: 'a', edge: 'x' }, { hlc: 'a', edge: 'x' }), 0);
});
