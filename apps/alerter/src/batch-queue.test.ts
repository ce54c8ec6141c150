import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchQueue } from './batch-queue.ts';

test('what arrives together is one batch, the urgent first', async () => {
  const batches: string[][] = [];
  const queue = batchQueue<string, string>({
    maxSize: 100,
    sizeOf: () => 1,
    process: async (items) => {
      batches.push([...items]);
      return items.map((item) => item.toUpperCase());
    },
  });
  const results = await Promise.all([queue.add('a', false), queue.add('b', true), queue.add('c', false)]);
  assert.deepEqual(results, ['A', 'B', 'C']);
  assert.deepEqual(batches, [['b'], ['a', 'c']]);
});

test('one batch at a time; what comes meanwhile is the next, urgent overtakes what waits', async () => {
  const batches: string[][] = [];
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const queue = batchQueue<string, void>({
    maxSize: 2,
    sizeOf: () => 1,
    process: async (items) => {
      batches.push([...items]);
      await gates[batches.length - 1]?.promise;
      return items.map(() => undefined);
    },
  });
  const first = [queue.add('a', false), queue.add('b', false), queue.add('c', false)];
  await new Promise((resolve) => setImmediate(resolve));
  const second = [queue.add('d', false), queue.add('e', true)];
  assert.equal(queue.waiting, 3);
  assert.deepEqual(batches, [['a', 'b']]);
  for (const gate of gates) gate.resolve();
  await Promise.all([...first, ...second]);
  assert.deepEqual(batches, [['a', 'b'], ['e'], ['c', 'd']]);
});

test('batches that take too long become smaller, and larger again', async () => {
  const sizes: number[] = [];
  let slow = true;
  const queue = batchQueue<number, number>({
    maxSize: 1_000,
    sizeOf: () => 1,
    targetMs: 1,
    process: async (items) => {
      sizes.push(items.length);
      const until = performance.now() + 10;
      while (slow && performance.now() < until);
      return items;
    },
  });
  await Promise.all(Array.from({ length: 30 }, (_, i) => queue.add(i, false)));
  assert.deepEqual(sizes.slice(0, 3), [16, 1, 1]);
  slow = false;
  await Promise.all(Array.from({ length: 30 }, (_, i) => queue.add(i, false)));
  assert.ok((sizes.at(-1) ?? 0) > 2);
});

test('a failed batch fails its items alone', async () => {
  const queue = batchQueue<number, number>({
    maxSize: 1,
    sizeOf: () => 1,
    process: async ([item = 0]) => {
      if (item === 1) throw new Error('one');
      return [item];
    },
  });
  const results = await Promise.allSettled([queue.add(0, false), queue.add(1, false), queue.add(2, false)]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
});

test('an item larger than a batch goes alone', async () => {
  const sizes: number[] = [];
  const queue = batchQueue<number, number>({
    maxSize: 10,
    sizeOf: (item) => item,
    process: async (items) => {
      sizes.push(items.length);
      return items;
    },
  });
  await Promise.all([queue.add(50, false), queue.add(4, false), queue.add(4, false), queue.add(4, false)]);
  assert.deepEqual(sizes, [1, 3]);
});
