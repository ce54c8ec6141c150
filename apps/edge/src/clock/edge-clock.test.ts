import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hlcMs } from '@weir/reading';
import { faultFs, MemoryDisk } from '@weir/testkit';
import { Spool, type SpoolOptions } from '../spool/index.ts';
import { ArrivalClock } from './arrival-clock.ts';
import { EdgeClock } from './edge-clock.ts';

const T0 = 1_700_000_000_000;

/** An edge's clock and spool on a disk in memory; the host's clock says `wall`. */
async function start(disk: MemoryDisk, wall: number): Promise<{ clock: EdgeClock; spool: Spool }> {
  const fs = faultFs(disk, {});
  const sources = { wall: () => wall, monotonic: () => 0, sinceBoot: () => 0 };
  const clock = await EdgeClock.open({
    dir: '/edge',
    maxAheadMs: 1_000,
    fs,
    arrivals: new ArrivalClock(sources),
  });
  const options: SpoolOptions = {
    dir: '/spool',
    fs,
    maxBytes: 1 << 20,
    segmentBytes: 1 << 16,
    memoryBytes: 1 << 18,
    whenFull: 'block',
    onFatal: (error) => assert.fail(error),
    now: () => clock.latest(),
  };
  const spool = await Spool.open(options);
  await clock.start(spool.resumedAt);
  return { clock, spool };
}

function append(spool: Spool, body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const entry = {
      kind: 'reading',
      critical: false,
      partition: 0,
      count: 1,
      body: Buffer.from(body),
    } as const;
    assert.ok(spool.append(entry, (error) => (error === null ? resolve() : reject(error))));
  });
}

test('stamps grow over a crash, also when the wall clock was set back meanwhile', async () => {
  const disk = new MemoryDisk();
  const before = await start(disk, T0);
  let last = '';
  for (let k = 0; k < 50; k++) last = before.clock.stamp(T0 + k);
  await append(before.spool, last);
  for (const left of [disk.kill(), disk.powerCut()]) {
    const after = await start(left, T0 - 30_000);
    const first = after.clock.stamp(after.clock.now());
    assert.ok(first > last, `${first} after ${last}`);
    assert.ok((hlcMs(first) as number) <= T0 + 51, 'and stay as near to it as they can');
    await after.clock.close();
  }
});

test('a spool that was emptied: the file goes on', async () => {
  const disk = new MemoryDisk();
  const before = await start(disk, T0);
  const last = before.clock.stamp(T0 + 7);
  await before.spool.close();
  await before.clock.close();
  const after = await start(disk, T0 - 30_000);
  assert.ok(after.clock.stamp(after.clock.now()) > last);
  await after.spool.close();
  await after.clock.close();
});

test('a damaged file is no reason not to start', async () => {
  const disk = new MemoryDisk();
  const fs = faultFs(disk, {});
  await fs.mkdir('/edge');
  const file = await fs.open('/edge/clock.json', 'create');
  await file.write([Buffer.from('{"v":1,"ms"')], 0);
  await file.close();
  const { clock, spool } = await start(disk, T0);
  assert.equal(hlcMs(clock.stamp(clock.now())), T0);
  await spool.close();
  await clock.close();
});
