import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { WeirError } from '@weir/flow';
import { type Faults, faultFs, MemoryDisk, until } from '@weir/testkit';
import { readWhole, replaceFile } from './files.ts';
import { DIR, open } from './spool.fixture.ts';
import type { Spool } from './spool.ts';
import {
  type CorruptBytes,
  DESTINATIONS,
  type Destination,
  type DroppedRecords,
  type SpoolEntry,
} from './types.ts';

const never = new AbortController().signal;
const within = { deadlineMs: 10_000, everyMs: 1 };

const entry = (text: string, more: Partial<SpoolEntry> = {}): SpoolEntry => ({
  kind: 'reading',
  critical: false,
  partition: 3,
  count: 1,
  body: Buffer.from(text),
  ...more,
});
function stored(spool: Spool, text: string, more: Partial<SpoolEntry> = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const taken = spool.append(entry(text, more), (error) => (error === null ? resolve() : reject(error)));
    if (!taken) reject(new Error(`not taken: ${spool.state}`));
  });
}
/** Appends 500-byte records, one after another, until the spool takes no more; the number that it took. */
async function fill(spool: Spool, more: Partial<SpoolEntry> = {}): Promise<number> {
  for (let taken = 0; ; taken++) {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    if (!spool.append(entry('x'.repeat(468), more), resolve)) return taken;
    await promise;
  }
}
async function readAll(spool: Spool, name: Destination): Promise<string[]> {
  const texts: string[] = [];
  const reader = spool.reader(name);
  const caughtUp = new AbortController();
  if (name === 'critical') void reader.reached(spool.stats.lastN, never).then(() => caughtUp.abort());
  // The critical lane has to pass over what is not for it, too.
  while (name === 'critical' ? !caughtUp.signal.aborted : reader.behind.records > 0) {
    const records = await reader.next(2_000, caughtUp.signal);
    texts.push(...records.map(({ body }) => body.toString()));
    reader.commit(records.at(-1)?.n ?? 0);
    await new Promise((resolve) => setImmediate(resolve));
  }
  return texts;
}

test('a record keeps its fields, from memory and from disk', async () => {
  const disk = new MemoryDisk();
  const spool = await open({ fs: disk });
  const before = Date.now();
  await stored(spool, 'one', { kind: 'event', critical: true, partition: 65_535, count: 7 });
  const [fresh] = await spool.reader('kafka').next(1_000, never);
  await spool.close();
  const again = await open({ fs: disk });
  assert.equal(again.sourceId, spool.sourceId);
  const [old] = await again.reader('kafka').next(1_000, never);
  assert.deepEqual(old, fresh);
  assert.ok(old !== undefined && old.at >= before && old.at <= Date.now());
  const { n, at, ...rest } = old;
  assert.deepEqual(rest, entry('one', { kind: 'event', critical: true, partition: 65_535, count: 7 }));
  assert.equal(n, 1);
  await again.close();
});

test('each destination has its own cursor; segments behind all of them are removed', async () => {
  const disk = new MemoryDisk();
  const spool = await open({ fs: disk });
  const sent = Array.from({ length: 60 }, (_, i) => `${i} ${'x'.repeat(400)}`);
  for (const text of sent) await stored(spool, text);
  const segments = (): number => [...disk.files().keys()].filter((path) => path.endsWith('.seg')).length;
  const many = segments();
  assert.ok(many > 5);
  assert.deepEqual(await readAll(spool, 'kafka'), sent);
  assert.equal(spool.reader('rabbitmq').behind.records, 60);
  await spool.close();
  assert.equal(segments(), many, 'RabbitMQ still needs them');

  const again = await open({ fs: disk });
  assert.equal(again.reader('kafka').behind.records, 0);
  assert.deepEqual(await readAll(again, 'rabbitmq'), sent);
  assert.deepEqual(await readAll(again, 'critical'), []);
  await until(() => again.stats.segments <= 2, { ...within, what: 'removed segments' });
  await again.close();
});

test('what is committed is not read again; committing what was not read is refused', async () => {
  const disk = new MemoryDisk();
  const spool = await open({ fs: disk });
  for (const text of ['a', 'b', 'c']) await stored(spool, text);
  const reader = spool.reader('kafka');
  assert.throws(() => reader.commit(1), /only records up to 0/);
  const [first, second] = await reader.next(2, never);
  reader.commit(first?.n ?? 0);
  assert.throws(() => reader.commit((second?.n ?? 0) + 2), /were read/);
  assert.equal(reader.behind.records, 2);
  assert.equal(reader.behind.oldestAt, second?.at);
  await spool.close();
  const again = await open({ fs: disk });
  assert.deepEqual(await readAll(again, 'kafka'), ['b', 'c']);
  await again.close();
});

test('a waiting reader is woken by an append and ended by its signal', async () => {
  const spool = await open({ fs: new MemoryDisk() });
  const waiting = spool.reader('kafka').next(100, never);
  await stored(spool, 'late');
  assert.equal((await waiting)[0]?.body.toString(), 'late');
  const stop = new AbortController();
  const ended = spool.reader('kafka').next(100, stop.signal);
  stop.abort();
  assert.deepEqual(await ended, []);
  await spool.close();
});

test('an fsync that fails: nothing is acknowledged, then or later', async () => {
  const faults: Faults = {};
  const fatal: WeirError[] = [];
  const disk = new MemoryDisk();
  const spool = await open({ fs: faultFs(disk, faults), onFatal: (error) => fatal.push(error) });
  await stored(spool, 'durable');
  faults.fsyncError = 'EIO';
  const answers: (Error | null)[] = [];
  for (let i = 0; i < 5; i++) assert.ok(spool.append(entry(`lost ${i}`), (error) => answers.push(error)));
  await until(() => answers.length === 5, { ...within, what: 'five answers' });
  faults.fsyncError = undefined; // the disk seems well again, but its cache may have dropped the bytes
  spool.append(entry('after'), (error) => answers.push(error));
  await until(() => answers.length === 6, { ...within, what: 'the sixth answer' });
  assert.ok(answers.every((error) => error instanceof WeirError && error.code === 'WEIR_SPOOL_FSYNC'));
  assert.equal(fatal.length, 1);
  assert.equal(fatal[0]?.retry, 'fatal');
  assert.deepEqual(
    (await spool.reader('kafka').next(1_000, never)).map(({ body }) => body.toString()),
    ['durable'],
  );
});

test('a full disk gets a clear sentence; what was acknowledged before is there after the restart', async () => {
  const faults: Faults = { writeAtMost: 100 };
  const fatal: WeirError[] = [];
  const disk = new MemoryDisk();
  const spool = await open({ fs: faultFs(disk, faults), onFatal: (error) => fatal.push(error) });
  await stored(spool, `first ${'x'.repeat(500)}`);
  faults.freeBytes = 150;
  await assert.rejects(
    stored(spool, `second ${'x'.repeat(500)}`),
    /is full.*maxSize.*Nothing that was not durable/,
  );
  assert.equal(fatal.length, 1);
  const torn: number[] = [];
  const again = await open({
    fs: disk.powerCut((bytes) => bytes),
    onTornTail: ({ bytes }) => torn.push(bytes),
  });
  assert.deepEqual(torn, [150]);
  assert.deepEqual(await readAll(again, 'kafka'), [`first ${'x'.repeat(500)}`]);
  await again.close();
});

test('an fsync of 2 s: acknowledgements wait, and what waits is bounded', async () => {
  const faults: Faults = {};
  const spool = await open({ fs: faultFs(new MemoryDisk(), faults) });
  faults.fsyncDelayMs = 2_000;
  const began = performance.now();
  let answered = 0;
  let free = 0;
  spool.onFree(() => free++);
  let taken = 0;
  while (spool.append(entry('x'.repeat(468)), () => answered++)) taken++;
  assert.equal(spool.state, 'throttled');
  assert.ok(spool.stats.pendingBytes <= 8_000, 'a quarter of memoryBytes, an eighth of maxBytes');
  await until(() => answered === taken, { ...within, what: 'acknowledgements' });
  assert.ok(performance.now() - began >= 1_990);
  assert.equal(free, 1);
  assert.equal(spool.state, 'free');
  faults.fsyncDelayMs = undefined;
  await spool.close();
});

test('block: takes nothing at the limit, and goes on when a destination has caught up', async () => {
  const spool = await open({ fs: new MemoryDisk() });
  assert.equal(await fill(spool), 128);
  assert.equal(spool.state, 'blocked');
  assert.ok(spool.stats.usedBytes <= 64_000);
  assert.equal((await readAll(spool, 'kafka')).length, 128);
  assert.equal(spool.state, 'blocked', 'RabbitMQ is still away');
  const free = new Promise<void>((resolve) => spool.onFree(resolve));
  assert.equal((await readAll(spool, 'rabbitmq')).length, 128);
  assert.equal((await readAll(spool, 'critical')).length, 0);
  await free;
  assert.equal(spool.state, 'free');
  await stored(spool, 'again');
  await spool.close();
});

test('prioritize: critical records have a reserve of their own', async () => {
  const spool = await open({ fs: new MemoryDisk(), whenFull: 'prioritize' });
  assert.equal(await fill(spool), 115);
  assert.equal(await fill(spool, { critical: true }), 13);
  assert.equal(spool.state, 'blocked');
  await spool.close();
});

test('prioritize: who waits for the reserve is told of room in it, whoever else was refused', async () => {
  const spool = await open({ fs: new MemoryDisk(), whenFull: 'prioritize' });
  await fill(spool);
  const critical = await fill(spool, { critical: true });
  assert.equal(
    spool.append(entry('x'.repeat(468)), () => {}),
    false,
    'the last one refused is a normal one',
  );
  const free = new Promise<void>((resolve) => spool.onFree(resolve));
  // One segment goes: more than nine tenths are still full.
  for (const name of DESTINATIONS) {
    const reader = spool.reader(name);
    const [first] = await reader.next(4_200, never);
    reader.commit(name === 'critical' ? (first?.n ?? 0) - 1 : 9);
  }
  await free;
  assert.ok(spool.stats.usedBytes > 64_000 * 0.9, `${spool.stats.usedBytes}`);
  await stored(spool, 'x'.repeat(468), { critical: true });
  assert.ok(critical > 0);
  assert.equal(
    spool.append(entry('x'.repeat(468)), () => {}),
    false,
  );
  await spool.close();
});

test('drop-newest: what does not fit is acknowledged in its turn and counted', async () => {
  const dropped: DroppedRecords[] = [];
  const spool = await open({
    fs: new MemoryDisk(),
    whenFull: 'drop-newest',
    onDropped: (drop) => dropped.push(drop),
  });
  for (let i = 0; i < 140; i++) await stored(spool, 'x'.repeat(468), { count: 2 });
  assert.equal(dropped.length, 12);
  assert.deepEqual(dropped[0], { reason: 'spool-drop-newest', destination: null, records: 1, readings: 2 });
  assert.equal((await readAll(spool, 'kafka')).length, 128);
  await spool.close();
});

test('drop-oldest: every record is either delivered or counted, for each destination', async () => {
  const lost = { kafka: 0, rabbitmq: 0 };
  const spool = await open({
    fs: new MemoryDisk(),
    whenFull: 'drop-oldest',
    onDropped: ({ reason, destination, records, readings }) => {
      assert.equal(reason, 'spool-drop-oldest');
      assert.equal(readings, records * 3);
      lost[destination as 'kafka' | 'rabbitmq'] += records;
    },
  });
  const kept: string[] = [];
  for (let i = 0; i < 600; i++) {
    while (spool.state === 'blocked') await new Promise<void>((resolve) => spool.onFree(resolve));
    await stored(spool, `${i} ${'x'.repeat(460)}`, { count: 3 });
    if (i % 100 === 50) kept.push(...(await readAll(spool, 'kafka')));
    if (i === 10) assert.equal((await spool.reader('rabbitmq').next(1_500, never)).length, 4); // never committed
  }
  assert.ok(spool.stats.usedBytes <= 64_000);
  kept.push(...(await readAll(spool, 'kafka')));
  assert.equal(kept.length + lost.kafka, 600);
  assert.equal(lost.kafka, 0, 'Kafka kept up');
  const late = 4 + (await readAll(spool, 'rabbitmq')).length;
  assert.ok(lost.rabbitmq > 400, `${lost.rabbitmq} were dropped`);
  assert.equal(late + lost.rabbitmq, 600);
  await spool.close();
});

test('damaged cursors: everything is read again rather than anything skipped', async () => {
  const disk = new MemoryDisk();
  const spool = await open({ fs: disk });
  for (const text of ['a', 'b']) await stored(spool, text);
  await readAll(spool, 'kafka');
  await spool.close();
  disk.flip(`${DIR}/cursors.json`, 50);
  const damages: CorruptBytes[] = [];
  const again = await open({ fs: disk, onCorrupt: (damage) => damages.push(damage) });
  assert.equal(damages[0]?.file, `${DIR}/cursors.json`);
  assert.deepEqual(await readAll(again, 'kafka'), ['a', 'b']);
  await again.close();
});

test('a folder without its identity is refused; an emptied folder is a new source of positions', async () => {
  const disk = new MemoryDisk();
  const spool = await open({ fs: disk });
  await stored(spool, 'a');
  await spool.close();
  await disk.unlink(`${DIR}/spool.json`);
  await assert.rejects(open({ fs: disk }), /spool.json is missing.*move .* aside/s);
  for (const path of disk.files().keys()) if (path.endsWith('.seg')) await disk.unlink(path);
  const fresh = await open({ fs: disk });
  assert.notEqual(fresh.sourceId, spool.sourceId);
  await stored(fresh, 'b');
  assert.deepEqual(await readAll(fresh, 'kafka'), ['b']);
  await fresh.close();
});

test('a record that can never fit is refused as data', async () => {
  const spool = await open({ fs: new MemoryDisk() });
  assert.throws(
    () => spool.append(entry('x'.repeat(17_000)), () => {}),
    (error) => error instanceof WeirError && error.retry === 'data',
  );
  await spool.close();
  assert.throws(() => spool.append(entry('x'), () => {}), /closed/);
});

test('the critical lane gets critical records alone, from memory and disk, and holds nothing for the others', async () => {
  const disk = new MemoryDisk();
  const spool = await open({ fs: disk });
  const wanted: string[] = [];
  for (let i = 0; i < 60; i++) {
    const critical = i % 20 === 10;
    const text = `${i} ${'x'.repeat(400)}`;
    await stored(spool, text, { critical });
    if (critical) wanted.push(text);
  }
  assert.deepEqual(await readAll(spool, 'critical'), wanted);
  await spool.close();
  disk.flip(`${DIR}/cursors.json`, 50); // so that everything is read again

  const again = await open({ fs: disk, onCorrupt: () => {} });
  assert.equal(again.reader('critical').behind.records > wanted.length, true, 'of old segments all may be');
  const reader = again.reader('critical');
  const [first] = await reader.next(1, never);
  assert.equal(first?.body.toString(), wanted[0]);
  const { n = 0 } = first ?? {};
  reader.commit(n);
  assert.deepEqual(await readAll(again, 'critical'), wanted.slice(1));
  assert.deepEqual(reader.behind, { records: 0, bytes: 0, oldestAt: null });
  await Promise.all([readAll(again, 'kafka'), readAll(again, 'rabbitmq')]);
  await until(() => again.stats.segments <= 2, { ...within, what: 'removed segments' });

  // What it has in hand stays, and tells how far the lane is behind.
  await stored(again, 'c', { critical: true });
  const [held] = await reader.next(1, never);
  for (let i = 0; i < 60; i++) await stored(again, `n ${'x'.repeat(400)}`);
  assert.equal(reader.behind.records, 1);
  assert.equal(reader.behind.oldestAt, held?.at);
  await again.close();
});

test('a spool without a critical cursor goes on where the one lane to RabbitMQ was', async () => {
  const disk = new MemoryDisk();
  const spool = await open({ fs: disk });
  for (const text of ['a', 'b', 'c']) await stored(spool, text, { critical: true });
  const reader = spool.reader('rabbitmq');
  const [, second] = await reader.next(1_000, never);
  reader.commit(second?.n ?? 0);
  await spool.close();
  const { id } = JSON.parse(String(await readWhole(disk, `${DIR}/spool.json`))) as { id: string };
  const cursors = JSON.stringify({ kafka: 1, rabbitmq: 2 });
  const file = { v: 1, spool: id, cursors: { kafka: 1, rabbitmq: 2 }, crc: crc32(id + cursors) };
  await replaceFile(disk, `${DIR}/cursors.json`, JSON.stringify(file));

  const again = await open({ fs: disk });
  assert.deepEqual(await readAll(again, 'critical'), ['c']);
  assert.deepEqual(await readAll(again, 'rabbitmq'), ['c']);
  assert.deepEqual(await readAll(again, 'kafka'), ['b', 'c']);
  await again.close();
});

test('drop-oldest: what is not for the critical lane is not dropped for it, and no reading twice for RabbitMQ', async () => {
  const lost = { kafka: 0, rabbitmq: 0, critical: 0 };
  const spool = await open({
    fs: new MemoryDisk(),
    whenFull: 'drop-oldest',
    onDropped: ({ destination, readings }) => {
      lost[destination as Destination] += readings;
    },
  });
  for (let i = 0; i < 600; i++) {
    while (spool.state === 'blocked') await new Promise<void>((resolve) => spool.onFree(resolve));
    await stored(spool, `${i} ${'x'.repeat(460)}`, { count: 3, critical: i % 10 === 0 });
  }
  const criticals = 3 * (await readAll(spool, 'critical')).length;
  assert.ok(lost.critical > 0);
  assert.equal(criticals + lost.critical, 180);
  assert.equal(lost.rabbitmq + lost.critical, lost.kafka);
  await spool.close();
});

test('reached: when everything before it arrived, not while it has to be sent again', async () => {
  const spool = await open({ fs: new MemoryDisk() });
  const reader = spool.reader('critical');
  reader.hold();
  await stored(spool, 'a', { critical: true });
  await stored(spool, 'b');
  const { lastN } = spool.stats;
  let isReached = false;
  const reached = reader.reached(lastN, never).then(() => {
    isReached = true;
  });
  const [first] = await reader.next(1_000, never);
  assert.equal(isReached, false);
  reader.commit(first?.n ?? 0);
  await reached;
  reader.rewind();
  const stop = new AbortController();
  const again = reader.reached(lastN, stop.signal);
  const [second] = await reader.next(1_000, never);
  assert.equal(second?.body.toString(), 'a');
  reader.commit(second?.n ?? 0);
  await again;
  stop.abort();
  await reader.reached(lastN + 1, stop.signal);
  await spool.close();
});
