import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RuleOf } from '@weir/config/alert-rules';
import { Liveness } from './liveness.ts';
import { HEARTBEAT_QUEUES, type HeartbeatQueue } from './liveness-edges.ts';
import type { Observation } from './types.ts';

const MINUTE = 60_000;
const RECONNECT = 2 * MINUTE;
const OFFLINE: RuleOf<'offline'> = {
  kind: 'offline',
  id: 'offline',
  site: '*',
  device: '*',
  severity: 'warning',
  labels: {},
  phi: 8,
};
const EDGE_SILENT: RuleOf<'edge-silent'> = {
  kind: 'edge-silent',
  id: 'edge-silent',
  site: '*',
  severity: 'critical',
  labels: {},
  after: 30_000,
};
const START = Date.parse('2026-01-01T00:00:00Z');

function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** An alerter's liveness with what tests do to it; times are epoch milliseconds of the edges. */
function bench(options: { maxDevices?: number } = {}) {
  const liveness = new Liveness({
    maxDevices: options.maxDevices ?? 10_000,
    reconnectMs: RECONNECT,
    forgetMs: 7 * 24 * 60 * MINUTE,
  });
  liveness.setRules([OFFLINE], [EDGE_SILENT]);
  let hlc = 0;
  const told: Observation[] = [];
  return {
    liveness,
    told,
    /** `device@time` of those told of since the last call, `-` before those that came back. */
    news: (): string[] =>
      told.splice(0).map(({ device, met, ts }) => `${met ? '' : '-'}${device}@${(ts - START) / 1_000}`),
    heard(device: string, at: number, edge = 'edge-1'): void {
      liveness.heard(liveness.devices.site('plant'), device, liveness.edge(edge, 0) as number, at);
    },
    progress(
      upTo: number,
      since = START,
      edge = 'edge-1',
      queues: readonly HeartbeatQueue[] = HEARTBEAT_QUEUES,
      stamp = ++hlc,
    ): void {
      const said = { edge, upTo, since, hlc: String(stamp).padStart(16, '0') };
      for (const queue of queues) liveness.progress(said, queue, upTo);
      told.push(...liveness.judge());
    },
  };
}
type Bench = ReturnType<typeof bench>;

/** Devices that send every second from START on, and progress twice a second, up to `until`. */
function runUntil(on: Bench, until: number, devices: readonly string[], from = START, since = START): void {
  for (let at = from; at <= until; at += 500) {
    if ((at - START) % 1_000 === 0) for (const device of devices) on.heard(device, at);
    on.progress(at, since);
  }
}

test('1,000 devices unknown to it, 1, 10 and 60 s, jitter, pauses: none suspected in 30 minutes, each within 6 periods', () => {
  const random = randomNumbers(20_260_101);
  const on = bench();
  const end = START + 30 * MINUTE;
  const devices = Array.from({ length: 1_000 }, (_, i) => {
    const period = ([1_000, 10_000, 60_000] as const)[i % 3] as number;
    return {
      ...{ name: `d-${i}`, period, jitter: 0.3 * random(), next: START + period * random(), last: 0 },
      /** It falls silent then; each has been heard for half an hour and more. */
      until: end + random() * period,
      pauses: 0,
      suspectedAt: 0,
    };
  });
  const byName = new Map(devices.map((device) => [device.name, device]));
  let beforeEnd = 0;
  for (let now = START; now <= end + 8 * MINUTE; now += 500) {
    for (const device of devices) {
      while (device.next <= now && device.next < device.until) {
        on.heard(device.name, Math.round(device.next));
        device.last = device.next;
        const isPause = random() < 0.02;
        if (isPause) device.pauses++;
        device.next += device.period * (1 + device.jitter * (2 * random() - 1) + (isPause ? 2 : 0));
      }
    }
    // what is heard is told of 200 ms later
    on.progress(now + 200);
    for (const { device: name, met, ts } of on.told.splice(0)) {
      assert.ok(met, `${name} came back although it cannot have`);
      const device = byName.get(name) as (typeof devices)[number];
      if (device.next < device.until) beforeEnd++;
      device.suspectedAt = ts;
    }
  }
  assert.equal(beforeEnd, 0, 'no device was suspected while it went on');
  assert.ok(devices.reduce((sum, { pauses }) => sum + pauses, 0) > 5_000, 'there were pauses');
  const after = devices.map(({ period, last, suspectedAt }) => (suspectedAt - last) / period);
  assert.ok(Math.max(...after) <= 6, `one was suspected only after ${Math.max(...after)} periods`);
  assert.ok(Math.min(...after) > 3.2, `one was suspected after ${Math.min(...after)} periods`);
});

test('a device that falls silent is told of once, and once when it is back', () => {
  const on = bench();
  runUntil(on, START + MINUTE, ['a', 'b']);
  runUntil(on, START + 2 * MINUTE, ['b'], START + MINUTE + 500);
  assert.deepEqual(on.news(), ['a@64.5']);
  assert.equal(on.liveness.view('plant', 'a')?.state, 'suspect');
  runUntil(on, START + 3 * MINUTE, ['a', 'b'], START + 2 * MINUTE + 500);
  assert.deepEqual(on.news(), ['-a@121']);
  const { state, phi, periodMs, intervals } = on.liveness.view('plant', 'a') ?? {};
  assert.deepEqual([state, phi, periodMs, intervals], ['online', 0, 1_000, 64]);
});

test('phi grows with the silence, up to where the edge has told', () => {
  const on = bench();
  runUntil(on, START + MINUTE, ['a']);
  const seen: number[] = [];
  for (let s = 1; s <= 6; s++) {
    on.progress(START + MINUTE + s * 1_000);
    seen.push(on.liveness.view('plant', 'a')?.phi as number);
  }
  assert.deepEqual(
    seen,
    seen.toSorted((x, y) => x - y),
  );
  assert.ok((seen[2] as number) < 1 && (seen[3] as number) > 3 && (seen[4] as number) > 8, seen.join(' '));
  assert.equal(on.liveness.view('plant', 'nobody'), undefined);
});

test('fewer than four intervals judge nobody', () => {
  const on = bench();
  runUntil(on, START + 3_000, ['a']);
  runUntil(on, START + 10 * MINUTE, [], START + 3_500);
  assert.deepEqual(on.news(), []);
  assert.equal(on.liveness.view('plant', 'a')?.state, 'learning');
});

test('an edge that stands still, and a queue that does, make nobody silent', () => {
  const on = bench();
  runUntil(on, START + MINUTE, ['a']);
  // the normal queue has a backlog of an hour: its heartbeats and its progress both wait in it
  for (let at = START + MINUTE; at < START + 60 * MINUTE; at += 1_000)
    on.progress(at, START, 'edge-1', ['critical', 'events'], at);
  assert.deepEqual(on.news(), []);
  for (let at = START + MINUTE; at <= START + 60 * MINUTE; at += 1_000) {
    on.heard('a', at);
    on.progress(at, START, 'edge-1', ['normal'], at);
  }
  assert.deepEqual(on.news(), []);
});

test('an edge restart: nobody is suspected for the time without it, nor while devices come back', () => {
  const on = bench();
  const many = Array.from({ length: 50 }, (_, i) => `d-${i}`);
  runUntil(on, START + MINUTE, many);
  // 40 s later it listens again; devices come back with back-off within a minute and a half, the last one never
  const since = START + 100_000;
  const back = (i: number) => since + 1_500 * i;
  for (let at = since; at <= START + 10 * MINUTE; at += 500) {
    for (let i = 0; i < 49; i++) if (at >= back(i) && (at - back(i)) % 1_000 === 0) on.heard(`d-${i}`, at);
    on.progress(at, since);
  }
  // of the one that never came: after the time to come back and its own silence
  assert.deepEqual(on.news(), ['d-49@224.5']);
  assert.equal(on.liveness.view('plant', 'd-0')?.periodMs, 1_000, 'the time without the edge is not learned');
});

test('an alerter that restarts raises nothing, and still sees who fell silent meanwhile', () => {
  const on = bench();
  runUntil(on, START + MINUTE, ['a', 'b', 'c']);
  runUntil(on, START + 2 * MINUTE, ['a', 'b'], START + MINUTE + 500);
  assert.deepEqual(on.news(), ['c@64.5']);
  const { kept } = on.liveness.takeUnsaved(100);
  assert.equal(kept.length, 3);
  const next = bench();
  next.liveness.restore(kept, 0);
  const c = { rule: 'offline', site: 'plant', device: 'c', metric: '', lastTs: START + 64_500 };
  next.liveness.restoreOpen([c], 0);
  // an hour later, in the middle of what the edge sends; b died meanwhile, c is still silent
  runUntil(next, START + 62 * MINUTE, ['a'], START + 61 * MINUTE);
  assert.deepEqual(next.news(), ['b@3664.5']);
  assert.equal(next.liveness.view('plant', 'a')?.periodMs, 1_000);
  next.heard('c', START + 62 * MINUTE + 100);
  next.progress(START + 62 * MINUTE + 500);
  assert.deepEqual(next.news(), ['-c@3720.1']);
});

test('an alert whose device is not known any more ends when the device is heard', () => {
  const on = bench();
  const open = { rule: 'offline', site: 'plant', device: 'x', metric: '', lastTs: START };
  on.liveness.restoreOpen([open], 0);
  assert.equal(on.liveness.view('plant', 'x')?.state, 'suspect');
  assert.deepEqual(on.liveness.takeUnsaved(10).kept, [], 'nothing is known to be kept');
  runUntil(on, START + 10_000, ['x']);
  assert.deepEqual(on.news(), ['-x@0.001']);
});

test('a device may roam between edges, also with clocks that differ, and old news of the other say nothing', () => {
  const on = bench();
  runUntil(on, START + MINUTE, ['a']);
  // edge-2 is 3 s behind; edge-1 goes on without the device
  for (let s = 61; s < 300; s++) {
    const at = START + s * 1_000;
    on.heard('a', at - 3_000, 'edge-2');
    on.progress(at - 3_000, START, 'edge-2');
    on.progress(at);
    // a backlog of edge-1 from a minute ago
    if (s > 200) on.heard('a', at - 100_000);
  }
  assert.deepEqual(on.news(), []);
  assert.equal(on.liveness.view('plant', 'a')?.edge, 'edge-2');
  for (let s = 300; s < 320; s++) on.progress(START + s * 1_000 - 3_000, START, 'edge-2');
  assert.deepEqual(on.news(), ['a@301']);
});

test('a device that changes its period is suspected at most twice, then known by the new one', () => {
  for (const period of [20_000, 200]) {
    const on = bench();
    runUntil(on, START + 2 * MINUTE, ['a']);
    for (let at = START + 2 * MINUTE; at < START + 30 * MINUTE; at += 100) {
      if ((at - START) % period === 0) on.heard('a', at);
      on.progress(at);
    }
    const suspected = on.news().filter((text) => !text.startsWith('-'));
    assert.ok(suspected.length <= 2, suspected.join(' '));
    assert.ok(Math.abs((on.liveness.view('plant', 'a')?.periodMs as number) / period - 1) < 0.02);
  }
});

test('readings sent again, doubled or overtaken change nothing', () => {
  const on = bench();
  for (let s = 0; s <= 60; s++) {
    const at = START + s * 1_000;
    for (const back of [0, 0, 1_000, 5_000]) on.heard('a', at - back);
    on.progress(at);
    on.progress(at, START, 'edge-1', HEARTBEAT_QUEUES, s); // delivered again
  }
  assert.deepEqual(on.news(), []);
  assert.equal(on.liveness.view('plant', 'a')?.periodMs, 1_000);
});

test('an edge whose clock is set back by an hour goes on', () => {
  const on = bench();
  runUntil(on, START + 2 * MINUTE, ['a']);
  const back = START - 58 * MINUTE;
  for (let s = 0; s < 60; s++) {
    on.heard('a', back + s * 1_000);
    on.progress(back + s * 1_000, back);
  }
  assert.deepEqual(on.news(), []);
  for (let s = 60; s < 70; s++) on.progress(back + s * 1_000, back);
  assert.deepEqual(on.news().length, 1);
});

test('an edge that tells nothing for 30 s is one alert, but not while nothing can be heard', () => {
  const on = bench();
  runUntil(on, START + MINUTE, ['a', 'b', 'c']);
  const judge = (seconds: number, listening = true) => {
    on.told.push(...on.liveness.judgeEdges(START + MINUTE + seconds * 1_000, START, listening));
    return on.told.splice(0).map(({ device, rule, met }) => `${met ? '' : '-'}${rule} ${device}`);
  };
  assert.deepEqual(judge(29), []);
  assert.deepEqual(judge(100, false), []);
  assert.deepEqual(judge(129), []);
  assert.deepEqual(judge(131), ['edge-silent edge-1']);
  assert.deepEqual(judge(140), []);
  assert.deepEqual(judge(150, false), [], 'a broker that is away does not end it');
  on.progress(START + MINUTE + 200_000, START + MINUTE + 200_000);
  assert.deepEqual(judge(201), ['-edge-silent edge-1']);
  assert.deepEqual(on.news(), [], 'and nothing of its devices');
});

test('an edge that was taken away is forgotten with its devices, and their alerts end', () => {
  const on = bench();
  runUntil(on, START + MINUTE, ['a', 'b']);
  runUntil(on, START + 2 * MINUTE, ['b'], START + MINUTE + 500);
  assert.deepEqual(on.news(), ['a@64.5']);
  const judge = (days: number): string[] => {
    const now = START + days * 24 * 60 * MINUTE;
    on.told.push(...on.liveness.judgeEdges(now, now, true));
    return on.told.splice(0).map(({ device, rule, met }) => `${met ? '' : '-'}${rule} ${device}`);
  };
  assert.deepEqual(judge(1), ['edge-silent edge-1']);
  assert.deepEqual(judge(8), ['-offline a', '-edge-silent edge-1']);
  assert.equal(on.liveness.takeForgotten().length, 2);
  assert.equal(on.liveness.counts.devices, 0);
  assert.deepEqual(judge(9), []);
});

test('a device whose site is not told is known by its name, as long as one site has it', () => {
  const { devices } = bench().liveness;
  devices.add(devices.site('east'), 'a', 0, START);
  devices.add(devices.site('west'), 'b', 0, START);
  assert.equal(devices.onlySiteOf('a')?.name, 'east');
  devices.add(devices.site('west'), 'a', 0, START);
  assert.equal(devices.onlySiteOf('a'), undefined);
  assert.equal(devices.onlySiteOf('c'), undefined);
});

test('what is silent for a week is forgotten, with its alert; room is bounded', () => {
  const on = bench({ maxDevices: 2 });
  runUntil(on, START + MINUTE, ['a', 'b', 'c']);
  assert.equal(on.liveness.counts.devices, 2);
  assert.ok(on.liveness.counts.refused > 0);
  runUntil(on, START + 2 * MINUTE, ['b'], START + MINUTE + 500);
  assert.deepEqual(on.news(), ['a@64.5']);
  const later = START + 8 * 24 * 60 * MINUTE;
  on.heard('b', later);
  on.progress(later);
  assert.deepEqual(on.news(), ['-a@691200']);
  assert.deepEqual(on.liveness.takeForgotten(), [{ site: 'plant', device: 'a' }]);
  on.heard('c', later);
  assert.equal(on.liveness.view('plant', 'c')?.state, 'learning');
});
