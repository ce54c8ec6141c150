import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Letter } from './letter.ts';
import { ACTIVE_STATES, afterCommand, TASK_COMMANDS, type TaskState } from './tasks.ts';
import { guard, PlanSum, type Verdict } from './tasks-plan.ts';

const STATES: readonly TaskState[] = [...ACTIVE_STATES, 'done', 'cancelled', 'failed'];

test('whatever is commanded, a task that has ended stays as it is, and any other can be cancelled', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...STATES),
      fc.array(fc.constantFrom(...TASK_COMMANDS), { maxLength: 20 }),
      (start, commands) => {
        let state = start;
        for (const command of commands) {
          const next = afterCommand(state, command);
          if (!(ACTIVE_STATES as readonly TaskState[]).includes(state)) assert.equal(next, null);
          else if (command === 'cancel') assert.equal(next, 'cancelled');
          else if (next !== null) assert.equal(next, command === 'pause' ? 'paused' : 'running');
          state = next ?? state;
        }
      },
    ),
  );
  assert.equal(afterCommand('planning', 'resume'), null, 'what is not planned cannot run');
  assert.equal(afterCommand('planned', 'resume'), 'running');
});

const NOW = new Date(0);
const letter = (parts: Partial<Letter>): Letter => ({
  id: 'one',
  seq: 1n,
  reason: 'decode',
  stage: 'test',
  site: 'here',
  device: 'one',
  fingerprint: '',
  errorClass: '',
  errorMessage: '',
  originSystem: 'mqtt',
  origin: '',
  foundIn: '',
  firstFailedAt: NOW,
  lastFailedAt: NOW,
  originalAt: NOW,
  arrivedAt: NOW,
  retryable: false,
  readings: null,
  replayCount: 0,
  returnedCount: 0,
  status: 'open',
  statusAt: null,
  statusBy: null,
  statusWhy: null,
  place: null,
  length: 0,
  sha256: '',
  content: 'json',
  bytesRemovedAt: null,
  ...parts,
});

test('the loop guard lets a letter out exactly as often as it says, however often it comes back', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10 }),
      fc.array(fc.constantFrom('replay', 'return', 'replay twice'), { minLength: 1, maxLength: 60 }),
      (limit, steps) => {
        let one = letter({});
        let sent = 0;
        const replay = (): void => {
          const found = guard(one, limit);
          if (found?.kind === 'park') one = { ...one, status: 'parked' };
          if (found !== null) return;
          sent++;
          one = { ...one, status: 'replayed', replayCount: one.replayCount + 1 };
        };
        for (const step of steps) {
          if (step === 'return') {
            if (one.status === 'replayed') one = { ...one, status: 'open', returnedCount: one.replayCount };
          } else replay();
          if (step === 'replay twice') replay();
        }
        assert.ok(sent <= limit, `${sent} times`);
        const returns = steps.filter((step) => step === 'return').length;
        if (returns === 0) assert.ok(sent <= 1, 'what did not come back is not sent again');
      },
    ),
  );
});

test('what has no bytes any more is refused, and says so', () => {
  assert.equal(guard(letter({ status: 'purged' }), 3)?.kind, 'refuse');
  assert.equal(guard(letter({ bytesRemovedAt: NOW }), 3)?.kind, 'refuse');
  assert.equal(guard(letter({ status: 'parked', replayCount: 2 }), 3), null, 'whoever chose it, meant it');
});

test('the parts of a plan add up', () => {
  const verdicts: fc.Arbitrary<Verdict> = fc.oneof(
    fc.record({
      kind: fc.constant('send' as const),
      destination: fc.constantFrom('a', 'b', 'c'),
      readings: fc.option(fc.nat(9)),
    }),
    fc.record({
      kind: fc.constantFrom('skip' as const, 'park' as const, 'refuse' as const),
      why: fc.constantFrom('x', 'y'),
    }),
  );
  fc.assert(
    fc.property(fc.array(verdicts, { maxLength: 50 }), fc.integer({ min: 1, max: 100 }), (all, rate) => {
      const sum = new PlanSum();
      for (const verdict of all) sum.add(letter({}), verdict);
      const plan = sum.plan(rate);
      assert.equal(plan.letters, all.length);
      assert.equal(plan.send + plan.skip + plan.park + plan.refuse, all.length);
      assert.equal(
        plan.destinations.reduce((total, { letters }) => total + letters, 0),
        plan.send,
      );
      assert.equal(
        plan.errors.reduce((total, { letters }) => total + letters, 0),
        plan.refuse,
      );
      assert.equal(plan.samples.length, Math.min(5, plan.send));
      assert.equal(plan.seconds, plan.send / rate);
    }),
  );
});
