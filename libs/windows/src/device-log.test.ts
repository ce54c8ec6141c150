import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeEnvelope, envelopePrefix } from '@weir/reading';
import fc from 'fast-check';
import { type DeviceFigures, DeviceLog, type StoredDevice } from './device-log.ts';
import type { PartitionState } from './partition.ts';
import { Harness, logs, OPTIONS, T0 } from './testing.ts';

/** Rows and devices in memory: what the aggregator does, without the servers. */
class DeviceHarness extends Harness {
  readonly stored = new Map<string, DeviceFigures>();
  devices = new DeviceLog(OPTIONS.outOfOrdernessMs);
  /** Devices are written after every so many records that are read again, each time a second later; 0: never. */
  everyReplayed = 0;
  private clock = 0;
  private watched: PartitionState | null = null;

  override apply(offset: number, now = 0): void {
    if (this.watched !== this.state) {
      this.watched = this.state;
      this.devices = new DeviceLog(OPTIONS.outOfOrdernessMs);
      const rows = JSON.parse(
        JSON.stringify(
          [...this.stored.values()].map((row) => ({ ...row, foldedOffset: String(row.foldedOffset) })),
        ),
      ) as StoredDevice[];
      this.devices.restore(
        rows.map((row) => ({ ...row, foldedOffset: BigInt(row.foldedOffset) })),
        this.position.nextOffset,
      );
      this.state.observe(this.devices);
    }
    super.apply(offset, now);
    if (offset >= this.position.nextOffset || this.everyReplayed === 0 || offset % this.everyReplayed > 0)
      return;
    this.clock += 1_000;
    this.write(now);
  }
  override commit(now = 0): void {
    super.commit(now);
    this.write(now);
  }
  private write(now: number): void {
    const { nextOffset, replayOffset } = this.position;
    this.clock = Math.max(this.clock, now);
    for (const row of this.devices.collect(this.clock, nextOffset, replayOffset))
      this.stored.set(`${row.site}/${row.device}`, row);
  }
}

const comparable = (device: DeviceFigures) => ({ ...device, foldedOffset: null });

test('wherever the log is cut by commits and crashes, every device has the figures of the uncut log', () => {
  fc.assert(
    fc.property(
      logs,
      fc.array(fc.constantFrom('go', 'commit', 'later', 'crash', 'commit-crash'), {
        minLength: 1,
        maxLength: 30,
      }),
      fc.nat(3),
      (lines, plan, everyReplayed) => {
        const records = lines.map((line) => [line]);
        const whole = new DeviceHarness(records);
        for (let offset = 0; offset < records.length; offset++) whole.apply(offset);

        const split = new DeviceHarness(records);
        split.everyReplayed = everyReplayed;
        let turn = 0;
        let now = 0;
        let crashes = 0;
        for (let offset = 0; offset < records.length; ) {
          split.apply(offset, now);
          offset++;
          const what = plan[turn++ % plan.length] as string;
          if (what === 'later') now += 6_000;
          if (what !== 'go' && what !== 'crash') split.commit(now);
          if (what.endsWith('crash') && crashes++ < 20) {
            split.restart(now);
            offset = Number(split.position.nextOffset);
          }
        }
        assert.deepEqual(split.devices.all().map(comparable), whole.devices.all().map(comparable));
        split.commit(now);
        split.commit(now + 3_600_000);
        assert.deepEqual(
          [...split.stored.values()].map(comparable).sort((a, b) => a.device.localeCompare(b.device)),
          whole.devices
            .all()
            .map(comparable)
            .sort((a, b) => a.device.localeCompare(b.device)),
        );
      },
    ),
    { numRuns: 300 },
  );
});

const lineOf = (device: string, n: number, seq: number, edge = 'e/s'): string => {
  const prefix = envelopePrefix({ edge, site: 'here', device, via: 'mqtt' });
  const payload = JSON.stringify({ ts: T0 + seq * 1_000, seq, value: seq });
  return encodeEnvelope(
    prefix,
    { n, at: T0 + seq * 1_000 + 40, qos: 1, mid: 7 },
    Buffer.from(payload),
  ).toString();
};

test('a device that goes on as before is written every 15 s, one whose counts changed at once', () => {
  const records = Array.from({ length: 8 }, (_, k) => [lineOf('a', k, k === 7 ? 9 : k)]);
  const harness = new DeviceHarness(records);
  const written = (now: number): number => {
    const { position } = harness.state;
    const at = position.call(harness.state);
    return [...harness.devices.collect(now, at.nextOffset, at.replayOffset)].length;
  };
  harness.apply(0);
  assert.equal(written(0), 1, 'a new device at once');
  harness.apply(1);
  assert.equal(written(15_000), 1, '15 s at most');
  harness.apply(2);
  assert.equal(written(20_000), 0);
  assert.equal(harness.devices.due(20_000), false);
  assert.equal(harness.devices.due(30_000), true, 'also when nothing more comes');
  assert.equal(written(30_000), 1);
  for (let offset = 3; offset < 7; offset++) harness.apply(offset);
  assert.equal(written(31_000), 0);
  harness.apply(7);
  assert.equal(written(31_000), 1, 'a gap at once');
});

test('a large fleet is written bit by bit, and what cannot wait at once', () => {
  const fleet = (k: number): string[] =>
    Array.from({ length: 2_500 }, (_, i) => lineOf(`d${i}`, 2_500 * k + i, k));
  const harness = new DeviceHarness([fleet(0), fleet(1), [lineOf('d7', 5_000, 9)]]);
  const written = (now: number): DeviceFigures[] => {
    const { nextOffset, replayOffset } = harness.state.position();
    return [...harness.devices.collect(now, nextOffset, replayOffset)];
  };
  harness.apply(0);
  const first = [written(0), written(500), written(1_000)];
  assert.deepEqual(
    first.map(({ length }) => length),
    [1_000, 1_000, 500],
  );
  assert.equal(new Set(first.flat().map(({ device }) => device)).size, 2_500, 'each once');
  harness.apply(1);
  assert.deepEqual(
    [10_000, 20_000, 20_500].map((now) => written(now).length),
    [1_000, 1_000, 500],
  );
  harness.apply(2);
  assert.deepEqual(
    written(20_500).map(({ device, sequence }) => [device, sequence.gaps]),
    [['d7', 1]],
  );
});

test('no device waits until its first line leaves what a restart reads again', () => {
  const lines = Array.from({ length: 400 }, (_, k) => [lineOf(`d${k % 3}`, k, Math.floor(k / 3) * 2)]);
  const harness = new DeviceHarness(lines);
  for (let offset = 0; offset < lines.length; offset++) {
    harness.apply(offset);
    if (offset % 5 !== 4) continue;
    harness.commit(0);
    harness.restart(0);
  }
  for (const { sequence } of harness.devices.all()) {
    assert.equal(sequence.gaps, sequence.missing);
    assert.equal(sequence.gaps, (sequence.last ?? 0) / 2);
  }
});

test('transport repetitions do not count, also when a restart reads them again and the device has changed its edge', () => {
  const records = [
    [lineOf('a', 1, 0, 'one/s')],
    [lineOf('a', 2, 1, 'one/s')],
    [lineOf('a', 1, 2, 'two/s')],
    [lineOf('a', 2, 1, 'one/s')],
    [lineOf('a', 1, 2, 'two/s'), lineOf('a', 2, 3, 'two/s')],
  ];
  const harness = new DeviceHarness(records);
  harness.apply(0);
  harness.commit(0);
  for (let offset = 1; offset < records.length; offset++) harness.apply(offset);
  harness.position = harness.state.position();
  const before = harness.devices.all().map(comparable);
  harness.restart();
  assert.deepEqual(harness.devices.all().map(comparable), before);
  assert.deepEqual(harness.devices.all()[0]?.sequence, {
    last: 3,
    gaps: 0,
    missing: 0,
    reordered: 0,
    restarts: 0,
  });
});

test('a row that is written while the log is read again stands for what was read by then', () => {
  const records = Array.from({ length: 8 }, (_, k) => [lineOf('a', k, k)]);
  const harness = new DeviceHarness(records);
  harness.apply(0);
  harness.commit();
  for (let offset = 1; offset < 7; offset++) harness.apply(offset);
  harness.commit();
  assert.equal(harness.stored.get('here/a')?.foldedOffset, 0n, 'its turn has not come');
  harness.everyReplayed = 1;
  for (let times = 0; times < 2; times++) {
    harness.restart();
    assert.equal(harness.devices.all()[0]?.sequence.last, 6);
  }
  harness.apply(7);
  assert.deepEqual(
    harness.devices.all().map(({ sequence }) => [sequence.last, sequence.missing]),
    [[7, 0]],
  );
});
