import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { atEnd, type Scope, until } from '@weir/testkit';
import { generate, type Packet, parser } from 'mqtt-packet';
import { auditArchive, auditWindows } from '../support/audit.ts';
import { startPipeline } from '../support/pipeline.ts';
import { auditRabbit, kafkaLines } from '../support/sinks.ts';

const DEVICE = 'pump-7';
const TOPIC = `telemetry/v1/plant-1/${DEVICE}/temperature`;

/** A socket that speaks MQTT one packet at a time, so that the test decides where the exchange stops. */
class Wire {
  readonly #received: Packet[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const packets = parser();
    packets.on('packet', (packet: Packet) => this.#received.push(packet));
    socket.on('data', (chunk) => packets.parse(chunk));
    socket.on('error', () => undefined);
  }

  static async open(scope: Scope, port: number): Promise<Wire> {
    const socket = connect(port, '127.0.0.1');
    atEnd(scope, () => void socket.destroy());
    await once(socket, 'connect');
    const wire = new Wire(socket);
    wire.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: false,
      clientId: DEVICE,
      keepalive: 60,
    });
    await wire.receive('connack');
    return wire;
  }

  send(packet: Packet): void {
    this.#socket.write(generate(packet));
  }

  receive(cmd: Packet['cmd']): Promise<Packet> {
    return until(() => this.#received.find((packet) => packet.cmd === cmd), {
      deadlineMs: 15_000,
      what: cmd,
    });
  }
}

test('a QoS 2 reading counts exactly once after kill -9 of the edge between PUBREC and PUBCOMP', {
  timeout: 600_000,
}, async (t) => {
  const { space, apps, mqttPort } = await startPipeline(t);
  const rabbit = await auditRabbit(t, space);
  // Without `seq` nothing downstream could tell a second copy from a second reading: the edge alone must get it right.
  const ts = Date.now();
  const publish = (messageId: number, value: number, dup: boolean): Packet => ({
    cmd: 'publish',
    topic: TOPIC,
    payload: JSON.stringify({ ts: ts + messageId, value }),
    qos: 2,
    messageId,
    dup,
    retain: false,
  });

  const before = await Wire.open(t, mqttPort);
  before.send(publish(1, 20.5, false));
  before.send(publish(2, 21.5, false));
  await until(async () => (await before.receive('pubrec')) && (await kafkaLines(space)).length === 2, {
    deadlineMs: 30_000,
    what: 'both readings in Kafka',
    everyMs: 500,
  });
  await apps.edge.kill('SIGKILL');
  await apps.edge.restart();

  // A device may know of the PUBREC and send PUBREL, or not know of it and send the PUBLISH again.
  const after = await Wire.open(t, mqttPort);
  after.send({ cmd: 'pubrel', messageId: 1 });
  await after.receive('pubcomp');
  after.send(publish(2, 21.5, true));
  await after.receive('pubrec');
  after.send({ cmd: 'pubrel', messageId: 2 });
  after.send(publish(3, 22.5, false));
  const known = [20.5, 21.5, 22.5].map((value, index) => ({
    device: DEVICE,
    metric: 'temperature',
    ts: ts + index + 1,
    seq: -1,
    value,
  }));
  await auditWindows(space, known, 60_000);
  // What was on its way when the edge died may be sent once more: the same line, recognised by `edge` and `n`.
  const lines = await kafkaLines(space);
  const once = new Map(lines.map((line) => [`${line.envelope.edge} ${line.envelope.n}`, line.payload]));
  assert.deepEqual(
    [...once.values()].map((payload) => (JSON.parse(payload) as { value: number }).value),
    [20.5, 21.5, 22.5],
  );
  await auditArchive(space, lines, 60_000);
  const arrived = () => new Set(rabbit.readings.map(({ value }) => value));
  await until(() => arrived().size >= 3, { deadlineMs: 30_000, what: 'three readings in RabbitMQ' });
  assert.deepEqual([...arrived()], [20.5, 21.5, 22.5]);
});
