import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { atEnd, type Scope } from '../scope.ts';
import { until } from '../until.ts';
import { Reader } from './log-reader.ts';
import type { LogUnderTest } from './log-types.ts';

export type {
  LogConsumer,
  LogConsumerOptions,
  LogHandler,
  LogProducer,
  LogRecord,
  LogUnderTest,
} from './log-types.ts';

const DEADLINE_MS = 40_000;

/** Behaviour that every connector to a partitioned log must show, against a real server. */
export function partitionedLogConformance(name: string, open: (scope: Scope) => Promise<LogUnderTest>): void {
  const named = (behaviour: string): string => `${name}: ${behaviour}`;

  /** A topic with `count` records `0`, `1`, … on each of its partitions. */
  async function filled(log: LogUnderTest, scope: Scope, partitions: number, count: number) {
    const topic = await log.makeTopic(partitions);
    const producer = log.openProducer();
    atEnd(scope, () => producer.close());
    let next = 0;
    const produce = async (more: number): Promise<void> => {
      for (const end = next + more; next < end; ) {
        const chunk = Math.min(500, end - next);
        await producer.send(
          topic,
          Array.from({ length: chunk * partitions }, (_, i) => ({
            partition: i % partitions,
            value: Buffer.from(String(next + Math.floor(i / partitions))),
          })),
        );
        next += chunk;
      }
    };
    await produce(count);
    return { topic, produce };
  }

  test(named('every record of a partition comes once and in order'), async (t) => {
    const log = await open(t);
    const { topic, produce } = await filled(log, t, 4, 1_000);
    const reader = new Reader(t, log, topic, 'order');
    await reader.start();
    await produce(1_000);
    await until(() => reader.total === 8_000, { deadlineMs: DEADLINE_MS, what: 'all records' });
    reader.assertExact(4, 2_000);
  });

  test(
    named('at least once: what was not committed comes again after a restart, nothing is skipped'),
    async (t) => {
      const log = await open(t);
      const { topic, produce } = await filled(log, t, 3, 600);
      const first = new Reader(t, log, topic, 'restart');
      await first.start();
      await until(() => first.total === 1_800, { deadlineMs: DEADLINE_MS, what: 'all records' });
      const half = new Map([0, 1, 2].map((partition) => [partition, 250n]));
      await first.consumer.commit(half);
      await first.consumer.stop();
      assert.deepEqual([...(await log.committed(first.groupId, topic)).values()], [250n, 250n, 250n]);
      await produce(100);
      const second = new Reader(t, log, topic, 'restart');
      await second.start();
      await until(() => second.total === 3 * 450, { deadlineMs: DEADLINE_MS, what: 'the rest' });
      for (const partition of [0, 1, 2]) {
        assert.deepEqual(
          second.offsets(partition),
          Array.from({ length: 450 }, (_, i) => 250 + i),
        );
      }
    },
  );

  test(named('the app’s own place wins over the committed one'), async (t) => {
    const log = await open(t);
    const { topic } = await filled(log, t, 2, 500);
    const reader = new Reader(t, log, topic, 'place', { from: (partition) => BigInt(100 + partition) });
    await reader.start();
    await until(() => reader.total === 400 + 399, {
      deadlineMs: DEADLINE_MS,
      what: 'the records from there',
    });
    assert.equal(reader.offsets(0)[0], 100);
    assert.equal(reader.offsets(1)[0], 101);
  });

  test(
    named('a slow handler keeps its session, holds back only its partition, and loses nothing'),
    async (t) => {
      const log = await open(t);
      const { topic, produce } = await filled(log, t, 2, 100);
      let release: () => void = () => undefined;
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      const reader = new Reader(t, log, topic, 'slow', {
        work: (partition) => (partition === 0 ? held : null),
      });
      await reader.start();
      await until(() => reader.offsets(0).length > 0 && reader.offsets(1).length === 100, {
        deadlineMs: DEADLINE_MS,
        what: 'both partitions begun',
      });
      const taken = reader.offsets(0).length;
      const since = performance.now();
      await produce(100);
      // Longer than the session: without heartbeats the group would have given the partitions away.
      await until(
        () => performance.now() - since > 1.5 * log.sessionTimeoutMs && reader.offsets(1).length === 200,
        {
          deadlineMs: DEADLINE_MS,
          what: 'the other partition read on beyond the session timeout',
        },
      );
      assert.equal(reader.offsets(0).length, taken, 'no second batch before the first one ended');
      assert.deepEqual(reader.revocations, []);
      release();
      await until(() => reader.total === 400, { deadlineMs: DEADLINE_MS, what: 'the rest' });
      reader.assertExact(2, 200);
    },
  );

  test(
    named('a partition that moves mid-batch is revoked, and continues elsewhere at the commit'),
    async (t) => {
      const log = await open(t);
      const { topic, produce } = await filled(log, t, 4, 200);
      let release: () => void = () => undefined;
      const held = new Promise<void>((resolve) => {
        release = resolve;
      });
      const first = new Reader(t, log, topic, 'moved', { work: () => held });
      await first.start();
      await until(
        () => first.consumer.assigned.size === 4 && [0, 1, 2, 3].every((p) => first.offsets(p).length > 0),
        {
          deadlineMs: DEADLINE_MS,
          what: 'the first member in the middle of a batch of each partition',
        },
      );
      await first.consumer.commit(new Map([0, 1, 2, 3].map((partition) => [partition, 50n])));
      const second = new Reader(t, log, topic, 'moved');
      await second.start();
      await until(() => second.consumer.assigned.size === 2 && first.revocations.length > 0, {
        deadlineMs: DEADLINE_MS,
        what: 'two partitions moved',
      });
      const moved = [...second.consumer.assigned].sort();
      const kept = [0, 1, 2, 3].filter((partition) => !moved.includes(partition));
      assert.deepEqual(first.revocations.flat().sort(), moved);
      assert.deepEqual([...first.consumer.assigned].sort(), kept);
      release();
      await produce(50);
      await until(() => kept.every((p) => first.offsets(p).length === 250) && second.total === 2 * 200, {
        deadlineMs: DEADLINE_MS,
        what: 'everything read',
      });
      for (const partition of moved) assert.equal(second.offsets(partition)[0], 50, 'begins at the commit');
      for (const partition of kept) {
        assert.deepEqual(
          first.offsets(partition),
          Array.from({ length: 250 }, (_, i) => i),
          'what stayed goes on without repeating',
        );
      }
      // A commit for what moved away must not move the new owner's place back.
      await second.consumer.commit(new Map(moved.map((partition) => [partition, 250n])));
      await first.consumer.commit(new Map([0, 1, 2, 3].map((partition) => [partition, 60n])));
      const places = await log.committed(first.groupId, topic);
      for (const partition of moved) assert.equal(places.get(partition), 250n);
      for (const partition of kept) assert.equal(places.get(partition), 60n);
    },
  );

  test(named('connections that are cut come back; nothing is lost or out of order'), async (t) => {
    const log = await open(t);
    const { topic, produce } = await filled(log, t, 3, 100);
    const reader = new Reader(t, log, topic, 'cut', { resume: true });
    await reader.start();
    await until(() => reader.total > 0, { deadlineMs: DEADLINE_MS, what: 'reading' });
    for (let cut = 0; cut < 3; cut++) {
      const before = reader.distinct;
      log.cutConnections();
      // As the forwarder does: a transient error means that all of it is sent again.
      await until(() => produce(50).then(() => true), {
        deadlineMs: DEADLINE_MS,
        what: 'produced after the cut',
      });
      await until(() => reader.distinct >= before + 150, {
        deadlineMs: DEADLINE_MS,
        what: 'read on after the cut',
      });
    }
    reader.assertOrdered();
  });

  test(
    named('10,000 bad records and then a good one: the handler decides, the reader goes on'),
    async (t) => {
      const log = await open(t);
      const topic = await log.makeTopic(1);
      const producer = log.openProducer();
      atEnd(t, () => producer.close());
      for (let i = 0; i < 10; i++) {
        await producer.send(
          topic,
          Array.from({ length: 1_000 }, () => ({ partition: 0, value: Buffer.from([0xff, 0x00]) })),
        );
      }
      await producer.send(topic, [{ partition: 0, value: Buffer.from('good') }]);
      let bad = 0;
      let good = 0;
      const reader = new Reader(t, log, topic, 'bad', {
        each: (value) => {
          if (value.toString() === 'good') good++;
          else bad++;
        },
      });
      await reader.start();
      await until(() => good === 1, { deadlineMs: DEADLINE_MS, what: 'the good record' });
      assert.equal(bad, 10_000);
    },
  );

  test(
    named('a handler that fails ends the consumer through onFatal, and nothing after it is handed on'),
    async (t) => {
      const log = await open(t);
      const { topic, produce } = await filled(log, t, 1, 10);
      const reader = new Reader(t, log, topic, 'failing', {
        fatalOk: true,
        work: () => Promise.reject(new TypeError('a bug in the app')),
      });
      await reader.start();
      await until(() => reader.fatal !== null, { deadlineMs: DEADLINE_MS, what: 'onFatal' });
      assert.match(String(reader.fatal), /a bug in the app/);
      const taken = reader.total;
      await produce(10);
      await delay(300); // nothing is awaited here: the point is that nothing comes
      assert.equal(reader.total, taken);
    },
  );

  test(named('stop waits for running batches, and commits still work in revoked'), async (t) => {
    const log = await open(t);
    const { topic } = await filled(log, t, 2, 100);
    let running = 0;
    const reader = new Reader(t, log, topic, 'stop', {
      work: async () => {
        running++;
        await delay(300);
        running--;
      },
      onRevoked: async (why, consumer) => {
        assert.equal(running, 0);
        assert.equal(why, 'stop');
        await consumer.commit(new Map([0, 1].map((partition) => [partition, 100n])));
      },
    });
    await reader.start();
    await until(() => reader.total === 200, { deadlineMs: DEADLINE_MS, what: 'all taken' });
    await reader.consumer.stop();
    assert.equal(reader.revocations.length, 1);
    assert.deepEqual([...(await log.committed(reader.groupId, topic)).values()], [100n, 100n]);
  });
}
