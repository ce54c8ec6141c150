import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOPS, type HopName } from '@weir/api';
import fc from 'fast-check';
import { BottleneckTracker, type Suspect } from './index.ts';

const suspect = (hop: HopName, severity = 2): Suspect => ({ hop, severity, why: `${hop} ${severity}` });
const hold = { nameMs: 4_000, clearMs: 6_000 };

/** What is named after each step of two seconds. */
const run = (steps: readonly (readonly Suspect[])[]) => {
  const tracker = new BottleneckTracker(hold);
  return steps.map((suspects, index) => tracker.next(index * 2_000, suspects)?.hop ?? null);
};

test('a hop is named when it lasts, and withdrawn when it is over', () => {
  const db = [suspect('timescale')];
  assert.deepEqual(run([db, db, db, db]), [null, null, 'timescale', 'timescale']);
  assert.deepEqual(
    run([db, [], db, db, db]),
    [null, null, null, null, 'timescale'],
    'one moment proves nothing',
  );
  assert.deepEqual(run([db, db, db, [], [], [], []]).slice(2), [
    'timescale',
    'timescale',
    'timescale',
    null,
    null,
  ]);
  assert.deepEqual(
    run([db, db, db, [], db, [], db, []]).slice(2),
    Array(6).fill('timescale'),
    'it goes on and off',
  );
});

test('since is the first suspicion', () => {
  const tracker = new BottleneckTracker(hold);
  for (const at of [10_000, 12_000, 14_000, 16_000]) tracker.next(at, [suspect('minio')]);
  assert.deepEqual(tracker.current, { hop: 'minio', since: 10_000, why: 'minio 2' });
});

test('another hop takes over when it is clearly worse, or alone', () => {
  const both = [suspect('timescale', 2), suspect('minio', 2.5)];
  const worse = [suspect('timescale', 2), suspect('minio', 3)];
  const db = [suspect('timescale')];
  assert.deepEqual(run([db, db, db, both, both, both, both]).at(-1), 'timescale');
  assert.deepEqual(run([db, db, db, worse, worse, worse]).at(-1), 'minio');
  const other = [suspect('kafka')];
  assert.deepEqual(run([db, db, db, other, other, other]).slice(3), ['timescale', 'timescale', 'kafka']);
});

test('it names what lasts, forgets what is over, and nothing that was not suspected', () => {
  const suspects = fc.array(
    fc.record({ hop: fc.constantFrom(...HOPS), severity: fc.double({ min: 1, max: 100, noNaN: true }) }),
    { maxLength: 3 },
  );
  const steps = fc.array(fc.tuple(fc.integer({ min: 100, max: 5_000 }), suspects), { maxLength: 40 });
  fc.assert(
    fc.property(steps, fc.constantFrom(...HOPS), (noise, last) => {
      const tracker = new BottleneckTracker(hold);
      const seen = new Map<HopName, number>();
      let at = 0;
      for (const [step, all] of noise) {
        at += step;
        for (const { hop } of all) if (!seen.has(hop)) seen.set(hop, at);
        const named = tracker.next(
          at,
          all.map((one) => ({ ...one, why: '' })),
        );
        if (named === null) continue;
        assert.ok((seen.get(named.hop) ?? Number.POSITIVE_INFINITY) <= named.since);
        assert.ok(named.since <= at);
      }
      for (let i = 0; i < 6; i++, at += 2_000) tracker.next(at + 2_000, [suspect(last)]);
      assert.equal(tracker.current?.hop, last, 'the only suspect for 12 s');
      for (let i = 0; i < 4; i++, at += 2_000) tracker.next(at + 2_000, []);
      assert.equal(tracker.current, null);
    }),
    { numRuns: 200 },
  );
});
