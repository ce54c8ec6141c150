import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk } from '@weir/testkit';
import { open } from './spool.fixture.ts';
import type { Spool } from './spool.ts';
import type { SpoolEntry } from './types.ts';

const never = new AbortController().signal;

/** A record of `count` readings as the intake makes it. */
function append(spool: Spool, count: number, kind: SpoolEntry['kind'] = 'reading'): Promise<void> {
  const k = spool.counted() + count;
  const body = Buffer.from(`{"n":${spool.nextN()},"k":${k},"at":1,"payload":"${'x'.repeat(400)}"}\n`);
  return new Promise((resolve, reject) => {
    const entry = { kind, critical: false, partition: 1, count, body };
    if (!spool.append(entry, (error) => (error === null ? resolve() : reject(error))))
      reject(new Error('full'));
  });
}

test('the count goes on over a restart and a crash, refused messages included', async () => {
  const disk = new MemoryDisk();
  const spool = await open({ fs: disk });
  assert.equal(spool.isNew, true);
  for (const count of [1, 5, 2]) await append(spool, count);
  await append(spool, 1, 'dead-letter');
  await append(spool, 0, 'event');
  assert.equal(spool.counted(), 9);
  // killed: nothing was saved but the records
  const again = await open({ fs: disk });
  assert.equal(again.counted(), 9);
  assert.equal(again.isNew, false);
  await append(again, 3);
  await again.close();
  const third = await open({ fs: disk });
  assert.equal(third.counted(), 12);
  await third.close();
});

test('the count goes on when every segment is delivered and gone', async () => {
  const disk = new MemoryDisk();
  const spool = await open({ fs: disk });
  for (let i = 0; i < 30; i++) await append(spool, 2);
  for (const name of ['kafka', 'rabbitmq'] as const) {
    const reader = spool.reader(name);
    while (reader.behind.records > 0) {
      const records = await reader.next(2_000, never);
      reader.commit(records.at(-1)?.n ?? 0, { last: name });
    }
  }
  await spool.close();
  const empty = await open({ fs: disk });
  assert.equal(empty.counted(), 60);
  assert.deepEqual(empty.reader('kafka').note, { last: 'kafka' });
  await empty.close();
});

test('what the policy drops is known before it is gone, by position', async () => {
  const disk = new MemoryDisk();
  const spool = await open({ fs: disk, whenFull: 'drop-oldest' });
  for (let i = 0; i < 300; i++) {
    while (spool.state === 'blocked') await new Promise<void>((resolve) => spool.onFree(resolve));
    await append(spool, 3);
  }
  await spool.close();
  const again = await open({ fs: disk, whenFull: 'drop-oldest' });
  const reader = again.reader('kafka');
  let counted = 0;
  let missing = 0;
  while (reader.behind.records > 0) {
    for (const { n, count, body } of await reader.next(2_000, never)) {
      const k = Number(/"k":(\d+)/.exec(body.toString())?.[1]);
      missing += k - count - counted;
      counted = k;
      assert.equal(reader.droppedUpTo(n), missing);
      reader.commit(n);
    }
  }
  assert.ok(missing > 300, `${missing} were dropped`);
  assert.equal(reader.droppedUpTo(0), 0);
  await again.close();
});
