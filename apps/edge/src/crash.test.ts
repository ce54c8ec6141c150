/** `kill -9` of a real edge process. No broker runs: the forwarders just retry, and the spool keeps everything. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { decodeEnvelope, type Envelope } from '@weir/reading';
import { atEnd, freeOffset, type Scope, type SpawnedApp, spawnApp, until } from '@weir/testkit';
import { PORTS } from '@weir/topology';
import { Spool } from './spool/index.ts';
import { type ConnectOptions, RawClient } from './testing/raw-client.ts';
import { SECRET, type TestDevice, writeDevices } from './testing/rig.ts';

const OPERATOR: TestDevice = { device: 'operator', publish: ['cmd/#'], subscribe: ['cmd/#'] };

interface Edge {
  readonly app: SpawnedApp;
  connect(
    device: string,
    clean: boolean,
    will?: ConnectOptions['will'],
  ): Promise<RawClient & { sessionPresent: boolean }>;
  /** Kills it and reads what its spool holds. */
  envelopes(): Promise<Envelope[]>;
}

async function startEdge(scope: Scope, devices: readonly TestDevice[]): Promise<Edge> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-edge-'));
  atEnd(scope, () => rm(dir, { recursive: true, force: true }));
  const offset = await freeOffset(scope);
  const file = join(dir, 'devices.jsonl');
  await writeDevices(file, devices);
  const spoolDir = join(dir, 'spool');
  const app = await spawnApp(scope, 'edge', {
    WEIR_PORTS__OFFSET: String(offset),
    WEIR_EDGE__DIR: dir,
    WEIR_EDGE__SPOOL__DIR: spoolDir,
    WEIR_EDGE__CREDENTIALS_FILE: file,
    // nobody listens there
    WEIR_KAFKA__BROKERS: '127.0.0.1:1',
    WEIR_RABBITMQ__URL: 'amqp://127.0.0.1:1',
  });
  return {
    app,
    async connect(device, clean, will) {
      const options = {
        clientId: device,
        username: device,
        password: SECRET,
        clean,
        ...(will ? { will } : {}),
      };
      const client = await RawClient.connect(PORTS.mqtt + offset, options);
      atEnd(scope, () => client.drop());
      const { returnCode, sessionPresent } = await client.accepted();
      assert.equal(returnCode, 0);
      return Object.assign(client, { sessionPresent });
    },
    async envelopes() {
      await app.kill('SIGKILL');
      const spool = await Spool.open({
        dir: spoolDir,
        maxBytes: 1 << 30,
        segmentBytes: 64 << 20,
        memoryBytes: 16 << 20,
        whenFull: 'block',
        onFatal: (error) => {
          throw error;
        },
      });
      const reader = spool.reader('kafka');
      const found: Envelope[] = [];
      while (reader.behind.records > 0) {
        const records = await reader.next(1 << 20, AbortSignal.timeout(5_000));
        for (const { kind, body } of records) {
          if (kind === 'reading') found.push(decodeEnvelope(body.toString('utf8')));
        }
        reader.commit(records.at(-1)?.n ?? 0);
      }
      await spool.close();
      return found;
    },
  };
}

const topics = (client: RawClient): string[] =>
  client.inbox.flatMap((packet) =>
    packet.cmd === 'publish' ? [`${packet.topic} ${packet.payload.toString()}`] : [],
  );

test('kill -9: session, subscription, queued commands in order and retained messages are there', async (t) => {
  const edge = await startEdge(t, [OPERATOR, { device: 'd1' }]);
  const device = await edge.connect('d1', false);
  assert.equal(device.sessionPresent, false);
  assert.deepEqual(await device.subscribe(['cmd/v1/plant/d1/+', 2]), [2]);
  await device.disconnect();
  const operator = await edge.connect('operator', true);
  const expected: string[] = [];
  for (let i = 0; i < 20; i++) {
    await operator.publish('cmd/v1/plant/d1/set', String(i), { qos: i % 2 === 0 ? 1 : 2 });
    expected.push(`cmd/v1/plant/d1/set ${i}`);
  }
  await operator.publish('cmd/v1/plant/all/mode', 'night', { qos: 1, retain: true });
  await edge.app.kill('SIGKILL');
  await edge.app.restart();

  const operatorAgain = await edge.connect('operator', true);
  await operatorAgain.publish('cmd/v1/plant/d1/set', 'after', { qos: 1 });
  expected.push('cmd/v1/plant/d1/set after');
  const back = await edge.connect('d1', false);
  assert.equal(back.sessionPresent, true);
  await until(() => topics(back).length >= expected.length, {
    deadlineMs: 20_000,
    what: 'the queued commands',
  });
  assert.deepEqual(topics(back), expected);
  await operatorAgain.subscribe(['cmd/v1/plant/all/#', 1]);
  await until(() => topics(operatorAgain).length > 0, { deadlineMs: 20_000, what: 'the retained message' });
  assert.deepEqual(topics(operatorAgain), ['cmd/v1/plant/all/mode night']);
});

test('kill -9 between PUBREC and PUBCOMP: a QoS 2 reading is there exactly once', async (t) => {
  const edge = await startEdge(t, [{ device: 'd1' }]);
  const publish = (dup: boolean, messageId: number) =>
    ({
      cmd: 'publish',
      topic: 'telemetry/v1/plant/d1',
      payload: `{"value":${messageId}}`,
      qos: 2,
      retain: false,
      dup,
      messageId,
    }) as const;
  const device = await edge.connect('d1', false);
  device.send(publish(false, 7));
  await device.next('pubrec');
  device.send(publish(false, 8));
  await device.next('pubrec');
  await edge.app.kill('SIGKILL');
  await edge.app.restart();

  // 7: the device missed the PUBREC and publishes again; 8: it goes on with PUBREL
  const back = await edge.connect('d1', false);
  back.send(publish(true, 7));
  assert.equal((await back.next('pubrec')).messageId, 7);
  back.send({ cmd: 'pubrel', messageId: 8 });
  assert.equal((await back.next('pubcomp')).messageId, 8);
  back.send({ cmd: 'pubrel', messageId: 7 });
  assert.equal((await back.next('pubcomp')).messageId, 7);
  // both ids are free again
  await back.publish('telemetry/v1/plant/d1', '{"value":70}', { qos: 2, messageId: 7 });
  const values = (await edge.envelopes()).map(({ payload }) => (payload as { value: number }).value);
  assert.deepEqual(values, [7, 8, 70]);
});

test('kill -9 under load: every acknowledged reading is in the spool, each connection in order', async (t) => {
  const names = Array.from({ length: 10 }, (_, i) => `d${i}`);
  const edge = await startEdge(
    t,
    names.map((device) => ({ device })),
  );
  const acked = new Map<string, number>();
  const senders = await Promise.all(
    names.map(async (name) => {
      const client = await edge.connect(name, true);
      let seq = 0;
      const send = (): void => {
        seq++;
        client.send({
          cmd: 'publish',
          topic: `telemetry/v1/plant/${name}`,
          payload: `{"seq":${seq},"value":1}`,
          qos: 1,
          retain: false,
          dup: false,
          messageId: seq,
        });
      };
      const pump = async (): Promise<void> => {
        for (let i = 0; i < 20; i++) send();
        for (let expected = 1; seq < 60_000; expected++) {
          const { messageId } = await client.next('puback');
          assert.equal(messageId, expected);
          acked.set(name, expected);
          send();
        }
      };
      return pump;
    }),
  );
  const pumps = Promise.allSettled(senders.map((pump) => pump()));
  await until(() => [...acked.values()].reduce((sum, n) => sum + n, 0) > 3_000, {
    deadlineMs: 20_000,
    what: '3,000 acknowledgements',
    everyMs: 5,
  });
  const envelopes = await edge.envelopes();
  await pumps;
  for (const name of names) {
    const seqs = envelopes
      .filter(({ device }) => device === name)
      .map(({ payload }) => (payload as { seq: number }).seq);
    assert.deepEqual(
      seqs,
      Array.from({ length: seqs.length }, (_, i) => i + 1),
      name,
    );
    assert.ok(
      seqs.length >= (acked.get(name) ?? 0),
      `${name}: ${seqs.length} stored, ${acked.get(name)} acknowledged`,
    );
  }
});

test('kill -9: the wills of those who were connected are sent after the restart, once', async (t) => {
  const edge = await startEdge(t, [{ device: 'd1' }, { device: 'd2' }]);
  const will = (device: string) => ({
    topic: `telemetry/v1/plant/${device}/online`,
    payload: Buffer.from('0'),
    qos: 1 as const,
  });
  const left = await edge.connect('d2', false, will('d2'));
  await left.disconnect();
  await until(async () => /^weir_edge_connections\S* 0$/m.test(await edge.app.metrics()), {
    deadlineMs: 10_000,
    what: 'the leave of d2',
  });
  const stays = await edge.connect('d1', false, will('d1'));
  // The store works in order: with this subscription in it, the will of d2 is gone and that of d1 is there.
  await stays.subscribe(['cmd/v1/plant/d1/+', 1]);
  await edge.app.kill('SIGKILL');
  await edge.app.restart();
  await until(async () => /outcome="stored"[^\n]* 1\n/.test(await edge.app.metrics()), {
    deadlineMs: 10_000,
    what: 'the will in the spool',
  });
  await edge.app.stop();
  await edge.app.restart();
  assert.deepEqual(
    (await edge.envelopes()).map(({ device, payload }) => [device, payload]),
    [['d1', 0]],
  );
});

test('SIGTERM under load: drains, exits 0, and what was acknowledged is there', async (t) => {
  const edge = await startEdge(t, [{ device: 'd1' }]);
  const device = await edge.connect('d1', true);
  let acked = 0;
  const load = (async () => {
    for (let id = 1; id < 60_000; id++) {
      await device.publish('telemetry/v1/plant/d1', `{"value":${id}}`, { qos: 1, messageId: id });
      acked = id;
    }
  })().catch(() => {});
  await until(() => acked > 50, { deadlineMs: 10_000, what: '50 acknowledgements', everyMs: 5 });
  assert.deepEqual(await edge.app.stop(), { code: 0, signal: null });
  await load;
  await edge.app.restart();
  assert.ok((await edge.envelopes()).length >= acked);
});
