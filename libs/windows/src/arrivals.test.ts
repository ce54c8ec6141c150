import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ARRIVAL_TICK_MS, Arrivals, hashBytes } from './arrivals.ts';
import { alignDown } from './levels.ts';

const hashOf = (text: string, from = 0): number => hashBytes(Buffer.from(text), from, text.length);

const LIMIT = 40;
const HORIZON = 120_000;

interface Arrival {
  readonly ring: number;
  readonly ts: number;
  readonly seq: number;
  readonly gap: number;
}

/** Mostly forward with small steps, some far jumps, some repetitions. */
const arrivals = fc.array(
  fc.record({
    ring: fc.integer({ min: 0, max: 2 }),
    ts: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 5 }) },
      { weight: 2, arbitrary: fc.integer({ min: -40_000, max: 40_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: -1e12, max: 1e12 }) },
    ),
    seq: fc.oneof(
      { weight: 6, arbitrary: fc.integer({ min: 0, max: 3 }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }) },
    ),
    gap: fc.oneof(
      { weight: 8, arbitrary: fc.integer({ min: 0, max: 2_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 200_000 }) },
    ),
  }),
  { minLength: 1, maxLength: 200 },
);

/** The definition, the plain way. */
function isKnown(past: readonly (Arrival & { clock: number })[], one: Arrival, since: number): boolean {
  return past
    .filter(({ ring }) => ring === one.ring)
    .slice(-LIMIT)
    .some(({ ts, seq, clock }) => ts === one.ts && seq === one.seq && clock >= since);
}

const horizonAt = (clock: number): number => alignDown(clock - HORIZON, ARRIVAL_TICK_MS);

test('an arrival is known exactly within the horizon and the count, also after a replay', () => {
  fc.assert(
    fc.property(arrivals, fc.nat(), fc.boolean(), (list, cut, hashes) => {
      const live = new Arrivals(LIMIT);
      for (let i = 0; i < 3; i++) live.make();
      const past: (Arrival & { clock: number })[] = [];
      let clock = 1_700_000_000_000;
      for (const raw of list) {
        // Readings (ts, seq), or publishes (packet id, 53-bit hash).
        const one = hashes ? { ...raw, ts: Math.abs(raw.ts) % 4, seq: hashOf(String(raw.seq)) } : raw;
        clock += one.gap;
        const since = horizonAt(clock);
        assert.equal(live.has(one.ring, one.ts, one.seq, since), isKnown(past, one, since));
        live.put(one.ring, one.ts, one.seq, clock, since);
        past.push({ ...one, clock });
      }
      // Reading the log again from before the horizon, or from any earlier place, restores what is known.
      const since = horizonAt(clock);
      const horizon = past.findIndex((one) => one.clock >= since);
      const replayed = new Arrivals(LIMIT);
      for (let i = 0; i < 3; i++) replayed.make();
      for (const one of past.slice(cut % (horizon + 1)))
        replayed.put(one.ring, one.ts, one.seq, one.clock, horizonAt(one.clock));
      for (const one of past) {
        const known = live.has(one.ring, one.ts, one.seq, since);
        assert.equal(replayed.has(one.ring, one.ts, one.seq, since), known);
      }
    }),
    { numRuns: 500 },
  );
});

test('a series at 1 Hz takes less than five bytes an arrival', () => {
  const pool = new Arrivals(256);
  const rings = Array.from({ length: 100 }, () => pool.make());
  for (let second = 0; second < 1_000; second++) {
    const clock = 1_700_000_000_000 + second * 1_000;
    // With the jitter of a device that is late by up to 20 ms.
    for (const ring of rings)
      pool.put(ring, clock - ((7 * second + ring) % 20), second, clock, horizonAt(clock));
  }
  const bytes = pool.bytes / rings.length / 121;
  assert.ok(bytes < 4.8, `${bytes} bytes an arrival`);
});

test('equal texts have equal hashes, from the place on that is given', () => {
  assert.equal(hashOf('a,"payload":1', 1), hashOf('b,"payload":1', 1));
  assert.notEqual(hashOf('a,"payload":1', 1), hashOf('a,"payload":2', 1));
});
