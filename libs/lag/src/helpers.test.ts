import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LagCause, LagVerdict } from '@weir/api';
import fc from 'fast-check';
import { HelperPlan } from './helpers.ts';

const LIMITS = { afterMs: 30_000, overMs: 600_000 };
const MAX = 2;

/** What is done at which second, with a look every five seconds. */
function play(seconds: number, at: (s: number) => [LagVerdict, LagCause['cause']]): string[] {
  const plan = new HelperPlan(LIMITS);
  const done: string[] = [];
  let helpers = 0;
  for (let s = 0; s <= seconds; s += 5) {
    const [verdict, cause] = at(s);
    const step = plan.next(s * 1_000, { verdict, cause, helpers, room: helpers < MAX });
    if (step === null) continue;
    helpers += step === 'start' ? 1 : -1;
    done.push(`${step} ${s}`);
  }
  return done;
}

test('a group that stays behind gets one helper after the other, up to the limit; each goes when all is well', () => {
  const found = play(2_000, (s) => (s < 200 ? ['ERR', 'input-spike'] : ['OK', 'none']));
  assert.deepEqual(found, ['start 30', 'start 60', 'stop 800', 'stop 1400']);
});

test('what a helper does not mend starts none; neither does what is over soon', () => {
  for (const cause of ['slow-sink', 'hot-partition', 'rebalance', 'too-few-partitions', 'broker'] as const)
    assert.deepEqual(
      play(300, () => ['ERR', cause]),
      [],
    );
  for (const verdict of ['STOP', 'STALL', 'UNKNOWN', 'REWIND'] as const)
    assert.deepEqual(
      play(300, () => [verdict, 'unknown']),
      [],
    );
  assert.deepEqual(
    play(300, (s) => (s % 30 < 25 ? ['WARN', 'slow-consumer'] : ['OK', 'none'])),
    [],
  );
});

test('whatever happens: never more than the limit, never fewer than none', () => {
  const verdict = fc.constantFrom<LagVerdict>('OK', 'WARN', 'ERR', 'STOP', 'UNKNOWN');
  const cause = fc.constantFrom<LagCause['cause']>('none', 'input-spike', 'slow-sink', 'unknown');
  const round = fc.record({ verdict, cause, gap: fc.integer({ min: 1, max: 700_000 }) });
  fc.assert(
    fc.property(fc.array(round), (rounds) => {
      const plan = new HelperPlan(LIMITS);
      let helpers = 0;
      let at = 0;
      for (const { gap, ...one } of rounds) {
        at += gap;
        const step = plan.next(at, { ...one, helpers, room: helpers < MAX });
        helpers += step === 'start' ? 1 : step === 'stop' ? -1 : 0;
        assert.ok(helpers >= 0 && helpers <= MAX);
      }
    }),
  );
});
