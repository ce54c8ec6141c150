import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PartitionState } from '@weir/windows';
import { type Held, Partitions, silenceClock } from './partitions.ts';

const options = {
  outOfOrdernessMs: 0,
  allowedLatenessMs: 0,
  idleTimeoutMs: 0,
  dedupHorizonMs: 0,
  dedupCount: 16,
};
const held = (partition: number): Held => ({
  partition,
  epoch: 1n,
  state: new PartitionState(options, { nextOffset: 0n, replayOffset: 0n, sources: {} }),
  parts: [],
  committed: 0n,
  writes: 0n,
  folded: 0,
  behindMs: 0,
  samples: [],
});

test('the fold waits at the limit until a transaction ends or a partition is released', async () => {
  const partitions = new Partitions(10);
  const one = held(1);
  partitions.hold(one);
  one.folded = 10;
  assert.deepEqual([partitions.free, partitions.halfFull], [false, true]);
  let went = 0;
  const first = partitions.room().then(() => went++);
  one.folded = 0;
  partitions.setInFlight(10);
  await Promise.resolve();
  assert.deepEqual([went, partitions.free, partitions.halfFull], [0, false, false]);
  partitions.setInFlight(0);
  await first;
  one.folded = 10;
  const second = partitions.room().then(() => went++);
  partitions.release([1]);
  await second;
  assert.equal(went, 2);
  assert.equal(partitions.owns(one), false);
});

test('the fold waits while a commit prepares, and goes on when that fails', async () => {
  const partitions = new Partitions(10);
  let went = false;
  let waiting: Promise<void> = Promise.resolve();
  const prepared = partitions.whilePaused(async () => {
    waiting = partitions.room().then(() => {
      went = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual([went, partitions.waiting], [false, true]);
    throw new Error('the database is away');
  });
  await assert.rejects(prepared, /away/);
  await waiting;
  assert.equal(went, true);
});

test('the stop lets every waiting fold go', async () => {
  const partitions = new Partitions(10);
  partitions.setInFlight(10);
  const waiting = partitions.room();
  partitions.end();
  await waiting;
  assert.equal(partitions.isEnded, true);
});

test('nobody falls silent by what was not read yet', () => {
  const one = held(0);
  assert.equal(silenceClock(one, 1_000), 1_000);
  one.behindSince = 1_500;
  assert.deepEqual([silenceClock(one, 1_500), silenceClock(one, 90_000)], [1_500, 1_500]);
  one.behindMs += 90_000 - one.behindSince;
  one.behindSince = undefined;
  assert.deepEqual([silenceClock(one, 90_000), silenceClock(one, 91_000)], [1_500, 2_500]);
});
