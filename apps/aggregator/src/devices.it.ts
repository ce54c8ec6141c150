import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readDevice } from '@weir/connect-timescale';
import { decodeEnvelope, interpret } from '@weir/reading';
import { spawnApp, until } from '@weir/testkit';
import { recompute } from '@weir/windows';
import { Bench, type Publish } from './testing.ts';

const LATENESS = { outOfOrdernessMs: 2_000, allowedLatenessMs: 30_000 };
const SETTINGS = {
  WEIR_AGGREGATOR__OUT_OF_ORDERNESS: '2s',
  WEIR_AGGREGATOR__ALLOWED_LATENESS: '30s',
  WEIR_AGGREGATOR__IDLE_TIMEOUT: '2s',
  WEIR_AGGREGATOR__COMMIT_INTERVAL: '100ms',
  WEIR_AGGREGATOR__DEDUP_HORIZON: '20s',
  WEIR_KAFKA__SESSION_TIMEOUT: '6s',
};
const DEVICES = 12;

interface Counted {
  lines: number;
  lastSeen: number;
  newest: number;
  seen: Set<number>;
  gaps: number;
  reordered: number;
}

/** Sequence figures of each device, by sets: as a person would count them from the lines. */
function recount(lines: readonly string[]): Map<string, Counted> {
  const devices = new Map<string, Counted>();
  const sent = new Set<number>();
  for (const line of lines) {
    const envelope = decodeEnvelope(line);
    if (sent.has(envelope.n)) continue;
    sent.add(envelope.n);
    const known = devices.get(envelope.device);
    const device = known ?? { lines: 0, lastSeen: 0, newest: 0, seen: new Set(), gaps: 0, reordered: 0 };
    devices.set(envelope.device, device);
    device.lines++;
    device.lastSeen = Math.max(device.lastSeen, envelope.at);
    const last = Math.max(...device.seen);
    for (const { ts, seq = 0 } of interpret(envelope.payload, envelope).readings) {
      device.newest = Math.max(device.newest, ts);
      if (device.seen.has(seq)) continue;
      if (device.seen.size > 0 && seq > last + 1) device.gaps++;
      if (seq < last) device.reordered++;
      device.seen.add(seq);
    }
  }
  return devices;
}

test('killed again and again, the devices are what a recount of the log says, and their clocks the truth', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const start = Math.floor(Date.now() / 1_000) * 1_000 - 900_000;
  let state = 4;
  const draw = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  /** Milliseconds that the clock of a device is ahead: every other one is right, the others up to 10 min off. */
  const ahead = (i: number, at: number): number =>
    i % 2 === 0 ? 0 : (i - 6) * 100_000 + (i - 6) * 20e-6 * (at - start);
  const seqs = Array.from({ length: DEVICES }, () => 100);
  const held: Publish[] = [];
  const round = (second: number): { device: string; line: string }[] => {
    const out: { device: string; line: string }[] = [];
    for (let i = 0; i < DEVICES; i++) {
      const device = `device-${i}`;
      const at = start + second * 1_000 + i;
      if (draw() < 0.02) seqs[i] = (seqs[i] as number) + 1 + Math.floor(draw() * 3); // lost on the way
      const seq = (seqs[i] as number)++;
      const delay = draw() * 400;
      const ts = Math.floor(at - delay + ahead(i, at - delay));
      const publish = { device, at, mid: 5, payload: `{"ts":${ts},"seq":${seq},"values":{"a":${i},"b":1}}` };
      if (draw() < 0.03) {
        // overtaken by the next one, or so late that it is a dead letter
        const behind = draw() < 0.3 ? 40_000 : 0;
        const payload = publish.payload.replace(String(ts), String(ts - behind));
        held.push({ ...publish, at: at + 1_500, payload });
        continue;
      }
      out.push({ device, line: bench.line(publish) });
      if (draw() < 0.03) out.push({ device, line: bench.line({ ...publish, at: at + 30 }) });
      if (draw() < 0.03) out.push(out.at(-1) as { device: string; line: string }); // the forwarder sent it again
    }
    if (second % 3 === 2) {
      for (const publish of held.splice(0)) out.push({ device: publish.device, line: bench.line(publish) });
    }
    return out;
  };

  const app = await spawnApp(t, 'aggregator', { ...bench.space.env, ...SETTINGS });
  for (let second = 0; second < 360; second++) {
    await bench.send(round(second));
    if (second % 80 !== 50) continue;
    await until(async () => [...(await bench.offsets()).values()].some(({ next }) => next > 10n), {
      deadlineMs: 30_000,
      what: 'some commits before the kill',
    });
    await app.kill('SIGKILL');
    await app.restart();
  }
  await bench.send(round(362)); // what was held
  await bench.folded();

  const wanted = recount(bench.lines.flat());
  let gaps = 0;
  let worst = 0;
  let steady = 0;
  for (const [device, counted] of wanted) {
    const found = await until(
      async () => {
        const row = await readDevice(bench.database, 'here', device);
        return row?.lastSeen === counted.lastSeen && row;
      },
      { deadlineMs: 40_000, what: `the newest message of ${device} in its row`, everyMs: 250 },
    );
    const numbers = [...counted.seen];
    const expected = Math.max(...numbers) - Math.min(...numbers) + 1;
    assert.deepEqual(
      { ...found.sequence, newest: found.newest },
      {
        last: Math.max(...numbers),
        gaps: counted.gaps,
        missing: expected - counted.seen.size,
        reordered: counted.reordered,
        restarts: 0,
        newest: counted.newest,
      },
      device,
    );
    assert.ok(found.clock !== null, `${device} has an estimate`);
    const error = Math.abs(found.clock.offsetMs - ahead(Number(device.slice(7)), found.clock.at));
    assert.ok(error <= 100 && error <= found.clock.errorMs, `${device}: ${error} ms off`);
    worst = Math.max(worst, error);
    gaps += found.sequence.gaps;
    steady += found.clock.steps;
  }
  assert.equal(wanted.size, DEVICES);
  assert.ok(gaps > 20, `${gaps} gaps`);
  assert.equal(steady, 0);

  const plain = bench.lines.map((lines) => recompute(lines, LATENESS));
  const resent =
    bench.lines.flat().length - new Set(bench.lines.flat().map((line) => decodeEnvelope(line).n)).size;
  const late = plain.reduce((sum, one) => sum + one.late, 0);
  // Two readings a line; what the forwarder sent again is no repetition of the device.
  const duplicates = plain.reduce((sum, one) => sum + one.duplicates, 0) - 2 * resent;
  assert.ok(late > 0 && duplicates > 20 && resent > 20);
  await until(
    async () => {
      const [sums] = await bench.database.query<{ duplicates: string; late: string }>(
        'adding the devices up',
        'SELECT sum(duplicates) AS duplicates, sum(late) AS late FROM devices',
      );
      assert.deepEqual([Number(sums?.late), Number(sums?.duplicates)], [late, duplicates]);
      return true;
    },
    { deadlineMs: 40_000, what: 'the last repetitions in the rows of their devices', everyMs: 250 },
  );
  t.diagnostic(`${gaps} gaps, ${late} late, ${duplicates} duplicates, clocks within ${worst.toFixed(1)} ms`);
});
