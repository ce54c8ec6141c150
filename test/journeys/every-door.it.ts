import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seeded } from '@weir/load';
import { until } from '@weir/testkit';
import { auditArchive, auditWindows } from '../support/audit.ts';
import { ScriptedDevice, type ScriptedMessage } from '../support/device.ts';
import { startPipeline } from '../support/pipeline.ts';
import type { KnownReading } from '../support/recompute.ts';
import { auditRabbit, deadLetters, kafkaLines } from '../support/sinks.ts';

const DEVICES = 1_000;
const MESSAGES = 12;
const START = Date.now() - 400_000;
const DOORS = ['qos0', 'qos1', 'qos1', 'qos2', 'http'] as const;

interface Script {
  readonly device: string;
  readonly door: (typeof DOORS)[number];
  readonly messages: readonly {
    readonly message: ScriptedMessage;
    readonly readings: readonly KnownReading[];
  }[];
}

/** Known readings in every payload form, spread over about 30 s of event time so that every level has windows. */
function script(index: number, random: () => number): Script {
  const device = `dev-${String(index).padStart(4, '0')}`;
  const door = DOORS[index % DOORS.length] as Script['door'];
  let seq = 0;
  let ts = START + Math.floor(random() * 1_000);
  const next = (metric: string): KnownReading => {
    ts += Math.floor(random() * 900) + 1;
    return { device, metric, ts, seq: seq++, value: Math.round((random() * 200 - 50) * 1_000) / 1_000 };
  };
  const topic = `telemetry/v1/plant-${index % 3}/${device}`;
  const messages = Array.from({ length: MESSAGES }, (_, form) => {
    if (form % 4 === 0) {
      const r = next('temperature');
      return {
        message: {
          topic: `${topic}/temperature`,
          payload: JSON.stringify({ ts: r.ts, seq: r.seq, value: r.value, unit: 'C' }),
        },
        readings: [r],
      };
    }
    if (form % 4 === 1) {
      const r = next('temperature');
      const more = ['humidity', 'pressure'].map((metric) => ({
        ...r,
        metric,
        value: Math.round(random() * 1e6) / 1e3,
      }));
      const values = Object.fromEntries([r, ...more].map(({ metric, value }) => [metric, value]));
      return {
        message: {
          topic,
          payload: JSON.stringify(
            { ts: new Date(r.ts).toISOString(), seq: r.seq, values },
            null,
            form === 5 ? 2 : 0,
          ),
        },
        readings: [r, ...more],
      };
    }
    if (form % 4 === 2) {
      const readings = [next('value'), next('value'), next('value')];
      return {
        message: {
          topic,
          payload: JSON.stringify(readings.map(({ ts, seq, value }) => ({ ts, seq, value }))),
        },
        readings,
      };
    }
    const r = next('value');
    const event = {
      specversion: '1.0',
      id: `${device}-${r.seq}`,
      source: `/${device}`,
      type: 'reading',
      time: new Date(r.ts).toISOString(),
      data: { seq: r.seq, value: r.value },
    };
    return { message: { topic, payload: JSON.stringify(event) }, readings: [r] };
  });
  return { device, door, messages };
}

test('every acknowledged reading of 1,000 devices is in every sink, and every window is right', {
  timeout: 600_000,
}, async (t) => {
  const { space, apps, mqttPort, edgeUrl } = await startPipeline(t);
  const rabbit = await auditRabbit(t, space);
  const random = seeded(20_261_121);
  const scripts = Array.from({ length: DEVICES }, (_, index) => script(index, random));

  const devices = new Map<string, ScriptedDevice>();
  for (const { device, door } of scripts.filter((s) => s.door !== 'http')) {
    devices.set(
      device,
      new ScriptedDevice(t, {
        port: mqttPort,
        id: device,
        qos: door === 'qos0' ? 0 : door === 'qos1' ? 1 : 2,
      }),
    );
  }
  await Promise.all([...devices.values()].map((device) => device.start()));
  const acknowledged: { device: string; payload: string; readings: readonly KnownReading[] }[] = [];
  const http = scripts.filter((s) => s.door === 'http');
  const overHttp = async (): Promise<void> => {
    for (let next = http.pop(); next !== undefined; next = http.pop()) {
      for (const { message, readings } of next.messages) {
        const path = message.topic.replace('telemetry/v1', '/ingest/v1');
        const response = await fetch(edgeUrl + path, {
          method: 'POST',
          body: message.payload,
          headers: { 'content-type': 'application/json' },
        });
        assert.equal(response.status, 202, await response.text());
        acknowledged.push({ device: next.device, payload: message.payload, readings });
      }
    }
  };
  for (const { device, messages } of scripts)
    for (const { message } of messages) devices.get(device)?.send(message);
  await Promise.all([
    ...[...devices.values()].map((device) => device.settled()),
    ...Array.from({ length: 16 }, overHttp),
  ]);
  for (const { device, door, messages } of scripts) {
    if (door === 'http' || door === 'qos0') continue;
    assert.equal(devices.get(device)?.acknowledged.length, MESSAGES, device);
    for (const { message, readings } of messages)
      acknowledged.push({ device, payload: message.payload, readings });
  }

  // QoS 0 asks for no acknowledgement: what arrived is what the log holds, and the rest must be counted per reason.
  const qos0 = scripts
    .filter(({ door }) => door === 'qos0')
    .flatMap(({ device, messages }) =>
      messages.map((m) => ({ device, payload: m.message.payload, readings: m.readings })),
    );
  const dropped = async (): Promise<number> => {
    const lines = (await apps.edge.metrics())
      .split('\n')
      .filter((l) => l.startsWith('weir_ledger_readings_total') && l.includes('outcome="dropped"'));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  };
  const expectedMessages = acknowledged.length + qos0.length;
  const lines = await until(
    async () => {
      const found = await kafkaLines(space);
      return found.length + (await dropped()) >= expectedMessages ? found : false;
    },
    {
      deadlineMs: 60_000,
      what: `${expectedMessages} messages in Kafka or counted as dropped`,
      everyMs: 1_000,
    },
  );
  const inKafka = new Map(lines.map((line) => [`${line.envelope.device} ${line.payload}`, line]));
  for (const { device, payload } of acknowledged)
    assert.ok(inKafka.has(`${device} ${payload}`), `acknowledged, not in Kafka: ${device} ${payload}`);
  const arrived = qos0.filter(({ device, payload }) => inKafka.has(`${device} ${payload}`));
  assert.equal(qos0.length - arrived.length, await dropped(), 'every lost QoS 0 publish is counted');
  assert.equal(lines.length, acknowledged.length + arrived.length, 'nothing is in Kafka twice');

  const known = [...acknowledged, ...arrived].flatMap(({ readings }) => readings);
  const windows = await auditWindows(space, known, 60_000);

  await until(() => rabbit.readings.length >= known.length, {
    deadlineMs: 60_000,
    what: `${known.length} readings in RabbitMQ`,
  });
  const inRabbit = new Set(
    rabbit.readings.map((r) => `${r.device} ${r.key.split('.').at(-1)} ${r.ts} ${r.seq} ${r.value}`),
  );
  for (const r of known)
    assert.ok(
      inRabbit.has(`${r.device} ${r.metric} ${r.ts} ${r.seq} ${r.value}`),
      `not in RabbitMQ: ${JSON.stringify(r)}`,
    );

  await auditArchive(space, lines, 60_000);
  assert.deepEqual(await deadLetters(space), []);

  await Promise.all([...devices.values()].map((device) => device.stop()));
  for (const app of Object.values(apps))
    assert.equal((await app.stop()).code, 0, `${app.name} drains and exits 0`);
  t.diagnostic(
    `${DEVICES} devices, ${expectedMessages} messages, ${known.length} readings, ${windows} windows; QoS 0 lost ${qos0.length - arrived.length}`,
  );
});
