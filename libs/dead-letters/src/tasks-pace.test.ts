import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { batchSize, chunkSize, Pace } from './tasks-pace.ts';

const BURST_MS = 1_000;
const rates = fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 51, max: 20_000 }));

/** Takes batches for some time, each followed by the work that it makes; answers when each one was taken. */
function run(rate: number, works: readonly number[], forMs: number): { at: number; units: number }[] {
  const pace = new Pace(rate, 0, BURST_MS);
  const taken: { at: number; units: number }[] = [];
  const units = batchSize(rate);
  for (let now = 0, i = 0; ; i++) {
    now += pace.wait(now);
    if (now >= forMs) return taken;
    pace.take(units, now);
    taken.push({ at: now, units });
    now += works[i % works.length] as number;
  }
}

test('no stretch of time sees more than the rate allows', () => {
  fc.assert(
    fc.property(
      rates,
      fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 20 }),
      (rate, works) => {
        const taken = run(rate, works, 20_000);
        const batch = batchSize(rate);
        let sum = 0;
        for (const { at, units } of taken) {
          sum += units;
          assert.ok(sum <= (rate * at) / 1_000 + batch + 1e-6, `${sum} units after ${at} ms`);
        }
        for (let from = 0; from < taken.length; from += 7) {
          let within = 0;
          for (const { at, units } of taken.slice(from)) {
            within += units;
            const allowed = (rate * (at - (taken[from] as { at: number }).at + BURST_MS)) / 1_000 + batch;
            assert.ok(within <= allowed + 1e-6, `${within} units from ${taken[from]?.at} to ${at} ms`);
          }
        }
      },
    ),
    { numRuns: 100 },
  );
});

test('work that takes less time than its units is made up for: the rate is kept within 5 %', () => {
  fc.assert(
    fc.property(
      rates,
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 2, maxLength: 20 }),
      fc.integer({ min: 0, max: 800 }),
      (rate, shares, hitch) => {
        const perBatch = (batchSize(rate) * 1_000) / rate;
        const works = shares.map((share) => share * 0.9 * perBatch);
        works[0] = Math.max(works[0] as number, Math.min(hitch, perBatch * 0.9 * shares.length * 0.5));
        const forMs = 60 * Math.max(1_000, perBatch);
        const total = run(rate, works, forMs).reduce((sum, { units }) => sum + units, 0);
        const mean = works.reduce((sum, work) => sum + work, 0) / works.length;
        fc.pre(mean <= perBatch * 0.95);
        const wanted = (rate * forMs) / 1_000;
        assert.ok(Math.abs(total - wanted) <= 0.05 * wanted, `${total} units instead of ${wanted}`);
      },
    ),
    { numRuns: 100 },
  );
});

test('a batch is a tenth of a second, a chunk a second, each at least one letter and at most 500', () => {
  assert.deepEqual([1, 10, 11, 50, 2_000, 1e6].map(batchSize), [1, 1, 2, 5, 200, 500]);
  assert.deepEqual([1, 10, 499, 1e6].map(chunkSize), [1, 10, 499, 500]);
});
