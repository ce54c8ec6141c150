import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Aedes, type Client } from 'aedes';
import { Fleet, type FleetOptions } from './fleet.ts';

interface Seen {
  readonly topic: string;
  readonly ts: number;
  readonly seq: number;
  readonly value?: number;
  readonly values?: Record<string, number>;
  readonly dup: boolean;
}

interface Broker {
  readonly port: number;
  readonly seen: Seen[];
  /** While true, publishes are taken but not acknowledged. */
  hold: boolean;
  cutAll(): void;
}

async function broker(t: TestContext, port = 0): Promise<Broker> {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const state = { hold: false };
  const seen: Seen[] = [];
  const held: (() => void)[] = [];
  aedes.authorizePublish = (_client: Client | null, packet, done) => {
    const finish = () => done(null);
    if (state.hold) held.push(finish);
    else {
      seen.push({ topic: packet.topic, ...JSON.parse(packet.payload.toString()), dup: packet.dup });
      finish();
    }
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    aedes.handle(socket);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
  });
  return {
    port: (server.address() as AddressInfo).port,
    seen,
    get hold() {
      return state.hold;
    },
    set hold(value: boolean) {
      state.hold = value;
    },
    cutAll() {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    },
  };
}

function options(t: TestContext, over: Partial<FleetOptions>): FleetOptions {
  const dir = mkdtempSync(join(tmpdir(), 'weir-fleet-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return {
    devices: 8,
    rate: 20,
    qos: 1,
    host: '127.0.0.1',
    port: 1,
    sites: 2,
    site: 'site',
    prefix: 'device',
    bufferSize: 100,
    window: 10,
    seed: 1,
    stateFile: join(dir, 'state.json'),
    ...over,
  };
}

async function until(condition: () => boolean, what: string, ms = 10_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) assert.fail(`${what} did not happen within ${ms} ms`);
    await delay(10);
  }
}

test('every reading of a calm run arrives once, in order, in the forms of the conventions', async (t) => {
  const { port, seen } = await broker(t);
  const fleet = new Fleet(options(t, { port }));
  fleet.start();
  await until(() => fleet.figures.acknowledged >= 400, '400 acknowledgements');
  await fleet.stop();
  const { sent, acknowledged, resent, dropped, buffered } = fleet.figures;
  assert.deepEqual(
    { acknowledged, resent, dropped, buffered },
    { acknowledged: sent, resent: 0, dropped: 0, buffered: 0 },
  );
  assert.equal(seen.length, sent);
  assert.equal(new Set(seen.map((r) => r.topic)).size, 8);
  assert.ok(
    seen.some(
      (r) => /^telemetry\/v1\/site-1\/device-0001$/.test(r.topic) && r.values?.humidity !== undefined,
    ),
  );
  assert.ok(
    seen.some((r) => /^telemetry\/v1\/site-1\/device-0003\/power$/.test(r.topic) && r.value !== undefined),
  );
  for (const topic of new Set(seen.map((r) => r.topic))) {
    const seqs = seen.filter((r) => r.topic === topic).map((r) => r.seq);
    assert.deepEqual(
      seqs,
      Array.from({ length: seqs.length }, (_, i) => i + 1),
    );
  }
});

test('unacknowledged readings are resent with the same ts and seq after a reconnect', async (t) => {
  const server = await broker(t);
  const fleet = new Fleet(options(t, { port: server.port, devices: 4 }));
  fleet.start();
  await until(() => server.seen.length > 40, 'a first stream');
  server.hold = true;
  await until(() => fleet.figures.buffered >= 40, 'readings waiting for their acknowledgement');
  server.hold = false;
  server.cutAll();
  await until(() => fleet.figures.resent > 0 && fleet.figures.buffered === 0, 'the backlog leaving');
  await fleet.stop();
  assert.ok(server.seen.some((r) => r.dup));
  const bySeq = new Map<string, number>();
  for (const { topic, seq, ts } of server.seen) {
    const key = `${topic} ${seq}`;
    assert.equal(bySeq.get(key) ?? ts, ts, `${key} came with two times`);
    bySeq.set(key, ts);
  }
  assert.equal(bySeq.size, fleet.figures.sent, 'every reading arrived at least once');
  assert.equal(fleet.figures.acknowledged, fleet.figures.sent);
});

test('with the broker away a device keeps its newest readings, counts the others and starts again by itself', async (t) => {
  const spare = createServer().listen(0, '127.0.0.1');
  await once(spare, 'listening');
  const { port } = spare.address() as AddressInfo;
  spare.close();
  const troubles: string[] = [];
  const fleet = new Fleet(
    options(t, {
      port,
      devices: 2,
      bufferSize: 10,
      onTrouble: (device, message) => troubles.push(`${device}: ${message}`),
    }),
  );
  fleet.start();
  await until(() => fleet.figures.dropped >= 10, 'full buffers');
  assert.equal(fleet.figures.buffered, 20);
  assert.match(
    troubles.join('\n'),
    /device-0001: Connecting device device-0001 to 127\.0\.0\.1:\d+: .*ECONNREFUSED/,
  );
  assert.equal(troubles.length, 2, 'the same trouble is told once for each device');
  const { seen } = await broker(t, port);
  await until(() => fleet.figures.connected === 2, 'both devices back', 20_000);
  await fleet.stop();
  const { sent, dropped, acknowledged, buffered } = fleet.figures;
  assert.deepEqual({ acknowledged, buffered }, { acknowledged: sent, buffered: 0 });
  const highest = Math.max(...seen.map((r) => r.seq));
  assert.ok(
    2 * highest >= sent + dropped - 2,
    `${highest} numbers each for ${sent} sent and ${dropped} dropped`,
  );
});

test('a recording is replayed step by step, goes on after a restart and begins again at its end', async (t) => {
  const { port, seen } = await broker(t);
  const given = options(t, { port, devices: 0 });
  const file = join(given.stateFile, '..', 'recording.csv');
  writeFileSync(
    file,
    'timestamp,value\n2020-01-01 00:00:00,1\n2020-01-01 00:05:00,2\n2020-01-01 00:10:00,3\n',
  );
  const recorded = {
    file,
    site: 's',
    device: 'm',
    metric: 'temperature',
    from: '2020-01-01 00:04:00',
  };
  const first = new Fleet({ ...given, recorded });
  first.start();
  await until(() => seen.length === 1, 'the first step');
  await first.stop();
  const second = new Fleet({ ...given, recorded });
  second.start();
  await until(() => seen.length === 4, 'three more steps');
  await second.stop();
  assert.deepEqual(
    seen.map((r) => [r.value, r.seq]),
    [
      [2, 1],
      [3, 2],
      [1, 3],
      [2, 4],
    ],
  );
  assert.ok(
    seen.every((r) => Math.abs(Date.now() - r.ts) < 60_000),
    'steps are stamped with the time of now',
  );
});

test('the same seed gives the same values', async (t) => {
  const runs = await Promise.all(
    [7, 7, 8].map(async (seed) => {
      const { port, seen } = await broker(t);
      const fleet = new Fleet(options(t, { port, seed, devices: 4 }));
      fleet.start();
      await until(() => seen.length >= 12, 'a few readings');
      await fleet.stop();
      // Walks and constants do not depend on the time of the run.
      return seen
        .filter((r) => r.seq === 1 && (r.values?.pressure !== undefined || r.value !== undefined))
        .map((r) => `${r.topic} ${r.values?.pressure ?? (r.topic.endsWith('setpoint') ? r.value : '')}`)
        .sort();
    }),
  );
  assert.deepEqual(runs[0], runs[1]);
  assert.notDeepEqual(runs[0], runs[2]);
});
