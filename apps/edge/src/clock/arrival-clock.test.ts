import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ArrivalClock } from './arrival-clock.ts';

const T0 = 1_700_000_000_000;

/** A host whose clock can be set, and which can sleep. */
class Host {
  wallAhead = 0;
  time = 0;
  slept = 0;
  readonly wall = (): number => Math.floor(T0 + this.time + this.slept + this.wallAhead);
  readonly monotonic = (): number => 12_345.678 + this.time;
  readonly sinceBoot = (): number => 50_000 + Math.floor((this.time + this.slept) / 10) * 10;
}

test('property: arrivals are evenly spaced, whatever is done to the host clock within a quarter of an hour', () => {
  const seconds = fc.array(
    fc.record({
      set: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: -30_000, max: 30_000 })),
    }),
    { minLength: 1, maxLength: 25 },
  );
  fc.assert(
    fc.property(seconds, (steps) => {
      const host = new Host();
      const clock = new ArrivalClock(host);
      let before = clock.now();
      for (const { set } of steps) {
        host.wallAhead += set;
        host.time += 1_000;
        const now = clock.now();
        assert.ok(now - before >= 994 && now - before <= 1_006, `${now - before} ms in a second`);
        assert.equal(clock.follow().jumped, false);
        before = now;
      }
    }),
    { numRuns: 200 },
  );
});

test('a step is taken in at 5 ms a second, a correct clock is left alone', () => {
  const host = new Host();
  const clock = new ArrivalClock(host);
  for (let second = 0; second < 600; second++) {
    host.time += 1_000;
    clock.follow();
  }
  assert.ok(Math.abs(clock.now() - host.wall()) <= 3);
  host.wallAhead = -30_000;
  for (let second = 0; second < 3_000; second++) {
    host.time += 1_000;
    clock.follow();
  }
  assert.ok(Math.abs(clock.now() - host.wall() - 15_000) < 50);
  for (let second = 0; second < 3_100; second++) {
    host.time += 1_000;
    clock.follow();
  }
  assert.ok(Math.abs(clock.now() - host.wall()) <= 3);
});

test('a clock that had never been set, and a sleep of the machine, are followed at once', () => {
  const host = new Host();
  const clock = new ArrivalClock(host);
  host.wallAhead = 20 * 365 * 86_400_000;
  host.time += 1_000;
  const { ahead, jumped } = clock.follow();
  assert.deepEqual([Math.round(ahead), jumped], [host.wallAhead, true]);
  assert.ok(Math.abs(clock.now() - host.wall()) <= 1);
  host.wallAhead = 0;
  host.time += 1_000;
  assert.equal(clock.follow().jumped, true);
  assert.ok(Math.abs(clock.now() - host.wall()) <= 1);

  host.slept = 300_000;
  host.time += 1_000;
  assert.equal(clock.follow().jumped, false);
  assert.ok(Math.abs(clock.now() - host.wall()) <= 15);
});
