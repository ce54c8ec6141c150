import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeirError } from '@weir/flow';
import type { Destination } from './destinations/destination.ts';
import { RetryLater } from './destinations/destination.ts';
import { Lane } from './lane.ts';
import type { Claimed } from './outbox.ts';
import { testAlert } from './test-alert.ts';

const addressee = { id: 'ops', wants: () => true, groupBy: [], groupWaitMs: 0, unfiltered: false };
const message = (attempts = 1, since = Date.now()): Claimed => ({
  ...testAlert('a'),
  rows: ['1'],
  attempts,
  since,
});
const away = new WeirError('WEIR_CONNECT_FAILED', 'transient', 'nobody listens');

function lane(deliver: Destination['deliver'], timeoutMs = 1_000) {
  const destination: Destination = { atATime: 1, parallel: 4, deliver, close: async () => {} };
  return new Lane({ addressee, destination, timeoutMs, giveUpAfterMs: 60_000, random: () => 1 });
}

test('five failures in a row open the breaker: no more messages, then one as a trial', async (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  let works = false;
  let calls = 0;
  const one = lane(async () => {
    calls++;
    if (!works) throw away;
    return ['taken'];
  });
  assert.equal(one.room(Date.now()), 4);
  for (let n = 1; n <= 5; n++) {
    assert.equal(one.state, n === 1 ? 'healthy' : 'failing');
    await one.send([message()]);
  }
  assert.equal(one.state, 'open');
  assert.equal(one.room(Date.now()), 0);
  t.mock.timers.tick(10_000);
  assert.equal(one.room(Date.now()), 1);
  await one.send([message()]);
  assert.equal(one.state, 'open', 'the trial failed');
  assert.equal(one.room(Date.now()), 0);
  t.mock.timers.tick(10_000);
  works = true;
  await one.send([message()]);
  assert.equal(one.state, 'healthy');
  assert.equal(one.room(Date.now()), 4);
  assert.equal(calls, 7);
});

test('a receiver that hangs is left at the deadline', async () => {
  const one = lane(() => new Promise(() => {}), 50);
  const [attempt] = await one.send([message()]);
  assert.match(String(attempt?.answer), /telling ops: no answer in 50 ms/);
});

test('what becomes of an attempt: sent, later with a longer wait each time, when the receiver says, or never', () => {
  const one = lane(async () => ['taken']);
  const now = Date.now();
  const outcome = (answer: string | Error, attempts = 1, since = now) =>
    one.settle({ message: message(attempts, since), answer }, now).outcome;
  assert.deepEqual(outcome('taken'), { state: 'sent' });
  assert.deepEqual(outcome(away), { state: 'queued', waitMs: 1_000, error: 'nobody listens' });
  assert.deepEqual(outcome(away, 4), { state: 'queued', waitMs: 8_000, error: 'nobody listens' });
  assert.deepEqual(outcome(away, 99), { state: 'queued', waitMs: 60_000, error: 'nobody listens' });
  assert.deepEqual(outcome(new RetryLater('busy', 120_000)), {
    state: 'queued',
    waitMs: 120_000,
    error: 'busy',
  });
  assert.deepEqual(outcome(new RetryLater('busy', 1e12)), {
    state: 'queued',
    waitMs: 3_600_000,
    error: 'busy',
  });
  assert.deepEqual(outcome(away, 9, now - 60_000), {
    ...{ state: 'failed', reason: 'expired', error: 'nobody listens' },
  });
  const refused = new WeirError('WEIR_REJECTED', 'data', 'no such thing');
  assert.deepEqual(outcome(refused), { state: 'failed', reason: 'refused', error: 'no such thing' });
});

test('a refusal of one message is no failure of the receiver', async () => {
  const one = lane(async () => {
    throw new WeirError('WEIR_REJECTED', 'data', 'no');
  });
  for (let n = 0; n < 10; n++) await one.send([message()]);
  assert.equal(one.state, 'healthy');
});

test('a receiver that asks for a pause gets it', async () => {
  const one = lane(async () => {
    throw new RetryLater('busy', 30_000);
  });
  await one.send([message()]);
  assert.equal(one.room(Date.now() + 29_000), 0);
  assert.equal(one.room(Date.now() + 31_000), 1);
});
