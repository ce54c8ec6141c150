import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { type Destination, Spool, type SpoolReader } from './index.ts';

const open = (dir: string): Promise<Spool> =>
  Spool.open({
    dir,
    maxBytes: 8 << 20,
    segmentBytes: 4 << 10,
    memoryBytes: 64 << 10,
    whenFull: 'block',
    onFatal: (error) => {
      throw error;
    },
  });

/** Appends `count` records, every `criticalEvery`th of them critical, and waits until they are durable. */
async function append(spool: Spool, count: number, criticalEvery = 2): Promise<void> {
  const body = Buffer.alloc(100);
  await Promise.all(
    Array.from(
      { length: count },
      (_, i) =>
        new Promise<void>((resolve, reject) => {
          const critical = (i + 1) % criticalEvery === 0;
          const entry = { kind: 'reading', critical, partition: 0, count: 1, body } as const;
          if (!spool.append(entry, (error) => (error === null ? resolve() : reject(error))))
            reject(new Error(`not taken: ${spool.state}`));
        }),
    ),
  );
}

const never = new AbortController().signal;
async function read(reader: SpoolReader, bytes: number): Promise<number[]> {
  return (await reader.next(bytes, never)).map(({ n }) => n);
}

for (const [lane, apart] of [
  ['rabbitmq', 1],
  ['critical', 2],
] as const)
  test(`${lane}: what is held and not released is read again in order, from memory or disk and after a restart`, (t) =>
    readAgain(t, lane, apart));

/** @param apart every so many records are for the lane */
async function readAgain(t: TestContext, lane: Destination, apart: number): Promise<void> {
  const step = fc.oneof(
    fc.record({ do: fc.constant('append' as const), count: fc.integer({ min: 1, max: 60 }) }),
    fc.record({ do: fc.constant('read' as const), bytes: fc.integer({ min: 1, max: 6_000 }) }),
    fc
      .constantFrom(...(['commit', 'mark', 'release', 'rewind', 'restart'] as const))
      .map((name) => ({ do: name })),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const dir = mkdtempSync(join(tmpdir(), 'weir-rewind-'));
      t.after(() => rmSync(dir, { recursive: true, force: true }));
      let spool = await open(dir);
      let reader = spool.reader(lane);
      reader.hold();
      // The model: positions only.
      let appended = 0;
      let handed = 0;
      let committed = 0;
      let released = 0;
      let marked: { n: number; mark: ReturnType<SpoolReader['mark']> } | null = null;
      for (const each of steps) {
        if (each.do === 'append') {
          await append(spool, each.count * apart, apart);
          appended += each.count;
        } else if (each.do === 'read') {
          if (handed === appended) continue; // it would wait
          const ns = await read(reader, each.bytes);
          assert.deepEqual(
            ns,
            Array.from({ length: ns.length }, (_, i) => (handed + i + 1) * apart),
          );
          handed += ns.length;
        } else if (each.do === 'commit') {
          if (handed > committed) reader.commit(handed * apart);
          committed = handed;
        } else if (each.do === 'mark') {
          marked = { n: committed, mark: reader.mark() };
        } else if (each.do === 'release') {
          if (marked === null) continue;
          reader.release(marked.mark);
          released = Math.max(released, marked.n);
        } else if (each.do === 'rewind') {
          reader.rewind();
          const stale = marked?.mark;
          if (stale !== undefined) reader.release(stale); // proves nothing any more
          marked = null;
          handed = committed = released;
          // A rewind takes effect with the next read.
          if (appended === released) continue;
          if (apart === 1) assert.equal(reader.mark().n, released);
          const [first] = await read(reader, 1);
          assert.equal(first, (released + 1) * apart);
          handed++;
        } else {
          await spool.close();
          spool = await open(dir);
          reader = spool.reader(lane);
          reader.hold();
          marked = null;
          handed = committed = released;
        }
        if (apart > 1) continue; // an estimate, and what was passed over is read on when somebody asks
        const { held, behind } = reader;
        if (handed >= committed) assert.equal(held.records, committed - released, 'held');
        assert.equal(behind.records, appended - committed, 'behind');
      }
      await spool.close();
    }),
    { numRuns: 60 },
  );
}

test('a reader that waits for records is woken by a rewind', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'weir-rewind-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const spool = await open(dir);
  const reader = spool.reader('rabbitmq');
  reader.hold();
  await append(spool, 3);
  assert.deepEqual(await read(reader, 1_000), [1, 2, 3]);
  reader.commit(3);
  const waiting = read(reader, 1_000);
  reader.rewind();
  assert.deepEqual(await waiting, [1, 2, 3]);
  await spool.close();
});

test('without hold a commit is enough', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'weir-rewind-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  let spool = await open(dir);
  await append(spool, 3);
  assert.deepEqual(await read(spool.reader('kafka'), 1_000), [1, 2, 3]);
  spool.reader('kafka').commit(2);
  assert.equal(spool.reader('kafka').held.records, 0);
  await spool.close();
  spool = await open(dir);
  assert.deepEqual(await read(spool.reader('kafka'), 1_000), [3]);
  await spool.close();
});
