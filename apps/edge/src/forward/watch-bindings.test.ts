import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '@weir/testkit';
import type { SpoolRecord } from '../spool/index.ts';
import { appendReading, testSpool } from './fixture.ts';
import { forward } from './flow.ts';
import { watchBindings } from './watch-bindings.ts';

const CONTINUOUS = 60_000;

/** A forwarder whose looks at the bindings the test answers one by one. */
async function rig(t: TestContext, options: { repairDelayMs?: number; limitBytes?: number } = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'weir-watch-'));
  const spool = await testSpool(dir);
  const reader = spool.reader('rabbitmq');
  const other = spool.reader('critical');
  const stop = new AbortController();
  const sent: number[] = [];
  const told: string[] = [];
  let question: ((answer: readonly string[] | Error) => void) | undefined;
  let repairs = 0;
  const watch = watchBindings({
    readers: [reader, other],
    missing: () =>
      new Promise((resolve, reject) => {
        if (stop.signal.aborted) resolve([]);
        question = (answer) => (answer instanceof Error ? reject(answer) : resolve(answer));
      }),
    repair: async () => {
      repairs++;
    },
    repairDelayMs: options.repairDelayMs ?? CONTINUOUS,
    everyMs: 1,
    limitBytes: options.limitBytes ?? 1 << 20,
    events: {
      bindingsMissing: (differences) => told.push(`missing ${differences.join()}`),
      sentAgain: (records, why) => told.push(`again ${records}: ${why}`),
      bindingsUnseen: () => told.push('unseen'),
      unverified: (records) => told.push(`unverified ${records}`),
    },
    stopping: stop.signal,
  });
  const loop = forward({
    reader,
    sink: {
      deliver: async (records: readonly SpoolRecord[]) => {
        sent.push(...records.map(({ n }) => n));
      },
      close: async () => {},
      isBlocked: () => false,
    },
    batchBytes: 1 << 20,
    lingerMs: 0,
    stopping: stop.signal,
    admit: () => watch.admit(),
  });
  const answer = async (found: readonly string[] | Error): Promise<void> => {
    const asked = await until(() => question, { deadlineMs: 5_000, what: 'a look', everyMs: 1 });
    question = undefined;
    asked(found);
    // The next look begins when this one has been dealt with.
    if (!stop.signal.aborted)
      await until(() => question, { deadlineMs: 5_000, what: 'the next look', everyMs: 1 });
  };
  const arrives = (...ns: number[]): Promise<unknown> =>
    until(() => sent.length >= ns.length && sent.slice(-ns.length).join() === ns.join(), {
      deadlineMs: 5_000,
      what: `${ns.join()} at the end of what was sent, now ${sent.join()}`,
      everyMs: 1,
    });
  t.after(async () => {
    stop.abort();
    question?.([]);
    await watch.stop();
    await loop;
    await spool.close();
    rmSync(dir, { recursive: true });
  });
  return { spool, reader, other, sent, told, answer, arrives, repairs: () => repairs };
}

test('nothing is sent before the first look; two looks release what was sent between them', async (t) => {
  const { spool, reader, sent, told, answer, arrives } = await rig(t);
  await appendReading(spool, 'pump-1', 1);
  assert.deepEqual(sent, []);
  await answer([]);
  await arrives(1);
  assert.equal(reader.held.records, 1, 'kept until the bindings are seen after it');
  await answer([]); // this look may have begun before the reading was sent
  await answer([]);
  assert.equal(reader.held.records, 0);
  assert.deepEqual(told, []);
});

test('missing bindings: nothing more is sent, then everything since they were last seen, in order', async (t) => {
  const { spool, reader, sent, told, answer, arrives } = await rig(t);
  await answer([]);
  await appendReading(spool, 'pump-1', 1);
  await arrives(1);
  await answer([]);
  await answer([]);
  await appendReading(spool, 'pump-1', 2);
  await arrives(1, 2);
  await answer(['queue q is not bound']);
  await appendReading(spool, 'pump-1', 3);
  await answer(['queue q is not bound']);
  assert.deepEqual(sent, [1, 2], 'nothing while they are missing');
  assert.equal(reader.held.records, 1);
  await answer([]);
  await arrives(2, 3);
  assert.deepEqual(sent, [1, 2, 2, 3]);
  assert.ok(told.includes('again 1: bindings were missing'));
  await answer([]);
  await answer([]);
  assert.equal(reader.held.records, 0);
});

test('missing from the first look on: what was in hand is not lost', async (t) => {
  const { spool, sent, answer, arrives } = await rig(t);
  await appendReading(spool, 'pump-1', 1);
  await answer(['queue q is missing']);
  await appendReading(spool, 'pump-1', 2);
  await answer([]);
  await arrives(1, 2);
  assert.deepEqual(sent, [1, 2]);
});

test('a hole between two looks proves nothing: what was sent meanwhile is sent again', async (t) => {
  const { spool, sent, told, answer, arrives } = await rig(t, { repairDelayMs: 0 });
  await answer([]);
  await appendReading(spool, 'pump-1', 1);
  await arrives(1);
  await answer([]);
  await arrives(1, 1);
  assert.deepEqual(sent.slice(0, 2), [1, 1]);
  assert.ok(told.includes('again 1: bindings were not seen for a while'));
});

test('missing for long enough, they are put back', async (t) => {
  const { answer, repairs } = await rig(t, { repairDelayMs: 0 });
  await answer(['queue q is not bound']);
  assert.equal(repairs(), 1);
});

test('what nobody could verify is let go at the limit, and told', async (t) => {
  const { spool, reader, told, answer, arrives } = await rig(t, { limitBytes: 500 });
  await answer(new Error('the management API is away'));
  for (let i = 1; i <= 10; i++) await appendReading(spool, 'pump-1', i);
  await arrives(10);
  await answer(new Error('the management API is away'));
  await answer(new Error('the management API is away'));
  assert.ok(told.some((line) => line.startsWith('unverified')));
  assert.equal(reader.held.records, 0);
});

test('missing bindings: both lanes send again', async (t) => {
  const { spool, reader, told, answer, arrives, other } = await rig(t);
  await answer([]);
  await appendReading(spool, 'pump-1', 1);
  await appendReading(spool, 'pump-1', 2, { critical: true });
  await arrives(1, 2);
  const read = async (): Promise<number[]> => {
    const ns = (await other.next(1 << 20, AbortSignal.timeout(5_000))).map(({ n }) => n);
    other.commit(ns.at(-1) ?? 0);
    return ns;
  };
  assert.deepEqual(await read(), [2]);
  await answer(['queue q is not bound']);
  await answer([]);
  await arrives(1, 2, 1, 2);
  assert.deepEqual(await read(), [2]);
  assert.ok(told.includes('again 3: bindings were missing'));
  await answer([]);
  await answer([]);
  assert.deepEqual([reader.held.records, other.held.records], [0, 0]);
});
