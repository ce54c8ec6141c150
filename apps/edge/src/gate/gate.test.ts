import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import mqtt, { type Packet } from 'mqtt-packet';
import { Gate } from './gate.ts';
import { GateHouse, type GateLimits } from './house.ts';

const LIMITS: GateLimits = {
  packetBytes: 4_096,
  topicBytes: 200,
  inflight: 10,
  connectMs: 10_000,
  keepaliveMaxMs: 60_000,
  connections: 10,
  connectRate: 1_000,
  publishRate: 1_000_000,
  outwardBytes: 10_000,
  partialBytes: 100_000,
};
const PUBACK = (id: number): Buffer => Buffer.from([0x40, 2, id >> 8, id & 255]);

/** A gate with a socket and a broker that are this test. */
function openGate(limits: Partial<GateLimits> = {}) {
  const refusals: string[] = [];
  let blocked = false;
  const events = { refused: (reason: string) => refusals.push(reason), held: () => {}, dropped: () => {} };
  const house = new GateHouse({ ...LIMITS, ...limits }, events, () => blocked);
  const out: Buffer[] = [];
  const socket = new Duplex({
    read() {},
    write(chunk, _encoding, done) {
      out.push(chunk);
      done();
    },
  });
  const gate = new Gate(socket, house);
  const forwarded: Buffer[] = [];
  gate.on('readable', () => {
    const bytes = gate.read();
    if (bytes !== null) forwarded.push(bytes);
  });
  gate.on('error', () => {});
  return {
    gate,
    house,
    refusals,
    out,
    block: (is: boolean) => {
      blocked = is;
    },
    input: (bytes: Buffer) => socket.emit('data', bytes),
    forwarded: () => Buffer.concat(forwarded),
    /** CONNECT and CONNACK. */
    async connect(): Promise<void> {
      socket.emit('data', mqtt.generate({ cmd: 'connect', clientId: 'a', keepalive: 60 } as Packet));
      forwarded.length = 0;
      gate.write(Buffer.from([0x20, 2, 0, 0]));
      await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
    },
    close() {
      gate.destroy();
      house.close();
    },
  };
}

const publish = (id: number, size: number): Buffer =>
  mqtt.generate({
    cmd: 'publish',
    topic: 't',
    payload: Buffer.alloc(size, 1),
    qos: 1,
    messageId: id,
    retain: false,
    dup: false,
  });

test('property: however the bytes are cut, the same bytes come through', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 9 }),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 40 }),
      async (sizes, cuts) => {
        const rig = openGate();
        await rig.connect();
        const stream = Buffer.concat(sizes.map((size, i) => publish(i + 1, size)));
        for (let at = 0, i = 0; at < stream.length; i++) {
          const length = cuts[i % cuts.length] as number;
          rig.input(Buffer.from(stream.subarray(at, at + length)));
          at += length;
        }
        assert.deepEqual(rig.forwarded(), stream);
        assert.equal(rig.house.partialBytes, 0);
        assert.equal(rig.gate.inflight, sizes.length);
        rig.close();
      },
    ),
    { numRuns: 60 },
  );
});

test('property: at most a window is let through, and all of it in the end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 1, max: 10 }),
      async (count, window) => {
        const rig = openGate({ inflight: window });
        await rig.connect();
        rig.input(Buffer.concat(Array.from({ length: count }, (_, i) => publish(i + 1, 3))));
        for (let acked = 0; acked < count; acked++) {
          assert.ok(rig.gate.inflight <= window);
          assert.ok(rig.gate.inflight > 0);
          rig.gate.write(PUBACK(acked + 1));
        }
        assert.equal(rig.forwarded().length, count * publish(1, 3).length);
        rig.close();
      },
    ),
    { numRuns: 60 },
  );
});

test('property: no bytes make it throw, and nothing malformed comes through', async () => {
  const parse = (bytes: Buffer): void => {
    const parser = mqtt.parser({ protocolVersion: 4 });
    parser.on('error', (error: Error) => {
      throw error;
    });
    parser.parse(bytes);
  };
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 }), async (chunks) => {
      const rig = openGate();
      await rig.connect();
      for (const chunk of chunks) rig.input(Buffer.from(chunk));
      parse(rig.forwarded());
      rig.close();
    }),
    { numRuns: 300 },
  );
});

test('nothing is let through before the CONNACK, nor while the spool is blocked; QoS 0 is', async () => {
  const rig = openGate();
  const early = mqtt.generate({ cmd: 'connect', clientId: 'a', keepalive: 60 } as Packet);
  rig.input(Buffer.concat([early, publish(1, 3)]));
  assert.equal(rig.forwarded().length, early.length);
  rig.gate.write(Buffer.from([0x20, 2, 0, 0]));
  await new Promise((resolve) => setImmediate(() => setImmediate(() => setImmediate(resolve))));
  assert.equal(rig.forwarded().length, early.length + publish(1, 3).length);

  rig.block(true);
  const before = rig.forwarded().length;
  const qos0 = mqtt.generate({ cmd: 'publish', topic: 't', payload: 'x', qos: 0, retain: false, dup: false });
  rig.input(Buffer.concat([qos0, publish(2, 3), qos0]));
  assert.equal(rig.forwarded().length, before + qos0.length); // the second one keeps its place behind the publish
  assert.equal(rig.gate.hold, 'spool');
  rig.block(false);
  rig.house.release();
  assert.equal(rig.forwarded().length, before + 2 * qos0.length + publish(2, 3).length);
  rig.close();
});

test('the keepalive does not reach aedes: the gate keeps watch itself', () => {
  const rig = openGate();
  rig.input(mqtt.generate({ cmd: 'connect', clientId: 'a', keepalive: 60 } as Packet));
  assert.equal(rig.forwarded().readUInt16BE(10), 0);
  rig.close();
});

test('what waits for a slow reader is bounded', async () => {
  const rig = openGate();
  await rig.connect();
  while (rig.gate.write(Buffer.alloc(1_000)) || !rig.gate.destroyed) {
    assert.ok(rig.out.length < 100);
  }
  assert.deepEqual(rig.refusals, ['outward-buffer']);
  rig.close();
});

test('packets that have begun but not ended are bounded over all connections', async () => {
  const rig = openGate({ partialBytes: 3_000 });
  await rig.connect();
  rig.input(publish(1, 4_000).subarray(0, 2_000));
  assert.equal(rig.house.partialBytes, 2_000);
  const other = new Gate(new Duplex({ read() {}, write() {} }), rig.house);
  other.on('error', () => {});
  rig.input(publish(1, 4_000).subarray(2_000, 3_500));
  assert.deepEqual(rig.refusals, ['partial-memory']);
  assert.equal(rig.house.partialBytes, 0);
  rig.close();
  other.destroy();
});
