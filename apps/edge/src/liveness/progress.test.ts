import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Scope } from '@weir/testkit';
import { Session } from '../door/session.ts';
import type { Part } from '../intake/intake.ts';
import { parseEventBody } from '../spool/index.ts';
import { openRig, SECRET, SITE } from '../testing/rig.ts';
import { AliveDevices } from './alive-devices.ts';
import { ProgressReporter } from './index.ts';

/** A reporter whose clocks and spool the test moves. */
function bench() {
  const world = { wall: 1_000_000, monotonic: 0, isBlocked: false, parked: 0 };
  const said: Record<string, unknown>[] = [];
  const clock = { now: () => world.wall, stamp: (at: number) => `stamp of ${at}` };
  const reporter = new ProgressReporter({
    alive: { take: () => [] },
    monotonic: () => world.monotonic,
    intake: {
      edge: 'edge-1/s',
      clock: clock as never,
      get isBlocked() {
        return world.isBlocked;
      },
      get parked() {
        return world.parked;
      },
      offer: (parts) => {
        for (const part of parts)
          said.push(parseEventBody(part.body({ n: 1, k: 0 }, clock as Parameters<Part['body']>[1])).body);
        return true;
      },
    },
  });
  const pass = (wall: number, monotonic = wall): unknown[] => {
    world.wall += wall;
    world.monotonic += monotonic;
    reporter.tick();
    return said.splice(0).map(({ at, since }) => [at, since]);
  };
  return { world, pass, watched: () => reporter.watched() };
}

test('an edge that listens tells how far it is, and since when', () => {
  const { pass, watched } = bench();
  watched();
  assert.deepEqual(pass(500), [[1_000_500, 1_000_500]]);
  assert.deepEqual(pass(500), [[1_001_000, 1_000_500]]);
  assert.deepEqual(pass(900), [[1_001_900, 1_000_500]]);
});

test('while no alerter watches it tells every ten seconds', () => {
  const { pass, watched } = bench();
  const told = (seconds: number): number => {
    let count = 0;
    for (let i = 0; i < seconds * 2; i++) count += pass(500).length;
    return count;
  };
  assert.equal(told(100), 10);
  watched();
  assert.equal(told(29), 58);
  assert.ok(told(100) <= 12);
});

test('while the spool takes nothing it tells nothing, and then begins anew', () => {
  const { world, pass } = bench();
  pass(500);
  world.isBlocked = true;
  assert.deepEqual(pass(500), []);
  world.isBlocked = false;
  world.parked = 1;
  assert.deepEqual(pass(500), []);
  world.parked = 0;
  assert.deepEqual(pass(500), [[1_002_000, 1_002_000]]);
});

test('a process that stood still, a machine that slept, a clock that was set: it begins anew', () => {
  const { pass } = bench();
  pass(500);
  assert.deepEqual(pass(10_000), [[1_010_500, 1_010_500]]);
  assert.deepEqual(pass(60_000, 500), [[1_070_500, 1_070_500]]);
  assert.deepEqual(pass(-3_600_000, 500), [[-2_529_500, -2_529_500]]);
});

test('keepalive and refused publishes count as heard, with the site of the device', async (t: Scope) => {
  const rig = await openRig(t, {
    devices: [{ device: 'a' }, { device: 'b' }, { device: 'c' }, { device: 'd' }],
  });
  const connect = (device: string) => rig.connect({ clientId: device, username: device, password: SECRET });
  const [a, b, c, d] = [await connect('a'), await connect('b'), await connect('c'), await connect('d')];
  assert.deepEqual(rig.alive(), [], 'a connection tells of itself by an event');
  await a.received(); // PINGREQ, PINGRESP
  await b.publish('telemetry/v1/plant/b', 'no JSON', { qos: 1 });
  await c.publish('telemetry/v1/plant/not-c', '1', { qos: 1 });
  await d.publish('telemetry/v1/plant/d', '1', { qos: 1 });
  const [sites = {}, ...more] = rig.alive();
  assert.deepEqual(more, []);
  assert.deepEqual(Object.keys(sites), [SITE]);
  assert.deepEqual(Object.keys(sites[SITE] ?? {}), ['a', 'b', 'c']);
});

test('what was heard is taken once, in portions', () => {
  const alive = new AliveDevices();
  const session = (device: string, site: string | null) =>
    new Session(device, { device, site } as never, new Map(), {} as never);
  for (let i = 0; i < 1_500; i++) alive.note(session(`d-${i}`, i % 2 === 0 ? 'east' : 'west'), i);
  alive.note(session('stray', null), 1);
  const taken = alive.take();
  assert.deepEqual(
    taken.map((sites) => Object.values(sites).reduce((sum, devices) => sum + Object.keys(devices).length, 0)),
    [1_000, 501],
  );
  assert.equal(taken[1]?.west?.['d-1499'], 1_499);
  assert.equal(taken[1]?.['-']?.stray, 1, 'a site that is not known');
  assert.deepEqual(alive.take(), []);
});
