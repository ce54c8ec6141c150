import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { manage, openConsumer, vhostOf } from '@weir/connect-rabbitmq';
import { createLogger } from '@weir/observe';
import { atEnd, freeOffset, isolated, spawnApp, until } from '@weir/testkit';
import { EXCHANGES, QUEUES } from '@weir/topology';
import { connect } from 'amqplib';
import { ScriptedDevice } from '../support/device.ts';
import { ownStack } from '../support/own-stack.ts';
import { weir } from '../support/pipeline.ts';
import { rabbitmqctl } from '../support/rabbitmqctl.ts';
import { auditRabbit } from '../support/sinks.ts';
import { Traffic } from '../support/traffic.ts';

const PORT_OFFSET = 14_500;
/** Seconds of the memory alarm: 60 in the long form, which also restarts the broker ten times. */
const LONG = Number(process.env.WEIR_FAULT_SECONDS ?? 0) >= 60;
const ALARM_MS = LONG ? 60_000 : 4_000;
const RESTARTS = LONG ? 10 : 2;
const UNBOUND_MS = LONG ? 10_000 : 4_000;
const HUNG_MS = LONG ? 15_000 : 7_000;
const SEEN = 'weir.test.alerts';
const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const PRESSURE = /^weir_backpressure_state\{[^}]*hop="forward-rabbitmq"[^}]*\} (\d+)/m;
const SENT_AGAIN = /^weir_forward_sent_again_total(?:\{[^}]*\})? (\d+)/m;

test('RabbitMQ killed, short of memory, without a binding, its consumer hung: no reading and no alert is lost', {
  timeout: 900_000,
}, async (t) => {
  const stack = await ownStack(t, PORT_OFFSET);
  const own = await isolated(t);
  const config = join(own.folder, 'weir.yaml');
  const rules = [{ id: 'hot', metric: 'heat', above: 90, severity: 'critical' }];
  writeFileSync(config, JSON.stringify({ alerter: { rules } }));
  const env = { ...own.env, WEIR_CONFIG: config, WEIR_EDGE__ANONYMOUS: 'true' };
  const space = { ...own, env };
  await weir(env, 'topology', 'apply');
  const edge = await spawnApp(t, 'edge', env);
  const active = await spawnApp(t, 'alerter', env);
  const standby = await spawnApp(t, 'alerter', {
    ...env,
    WEIR_PORTS__OFFSET: String(await freeOffset(t)),
  });

  // Listens to everything on the telemetry exchange all the time: a message is never unroutable.
  const rabbit = await auditRabbit(t, space);
  const setup = await connect(space.rabbitmqUrl);
  const channel = await setup.createChannel();
  await channel.assertQueue(SEEN, { arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue(SEEN, EXCHANGES.alerts.name, '');
  await setup.close();
  /** Site → ids of its firing messages. */
  const fired = new Map<string, Set<string>>();
  const listener = openConsumer({
    url: space.rabbitmqUrl,
    queue: SEEN,
    prefetch: 50,
    log,
    handler: async ({ headers, body, messageId = '' }) => {
      const { site } = JSON.parse(body.toString()) as { site: string };
      if (headers.state === 'firing') fired.set(site, (fired.get(site) ?? new Set()).add(messageId));
      return 'ack';
    },
  });
  listener.start();
  atEnd(t, () => listener.stop());

  const mqttPort = 1883 + space.portOffset;
  const traffic = new Traffic(t, { mqttPort, devices: 20, hertz: 10 });
  await traffic.start();
  // Twice a second something overheats on another line: each of them is one alert that must come.
  const oven = new ScriptedDevice(t, { port: mqttPort, id: 'oven', qos: 1, window: 20 });
  await oven.start();
  let lines = 0;
  const overheat = (): void => {
    oven.send({
      topic: `telemetry/v1/line-${lines++}/oven/heat`,
      payload: JSON.stringify({ ts: Date.now(), seq: lines, value: 100 }),
    });
  };
  const heating = setInterval(overheat, 500);
  atEnd(t, async () => clearInterval(heating));
  /** Every alert of what has overheated so far is there. */
  const alerted = async (after: string): Promise<void> => {
    const wanted = lines;
    const began = performance.now();
    await until(() => fired.size >= wanted, { deadlineMs: 90_000, what: `${wanted} alerts after ${after}` });
    t.diagnostic(`${after}: ${wanted} alerts, ${((performance.now() - began) / 1_000).toFixed(1)} s later`);
  };
  const figure = async (of: RegExp): Promise<number> => Number(of.exec(await edge.metrics())?.[1]);
  const pressure = (): Promise<number> => figure(PRESSURE);
  // RabbitMQ writes down where a new quorum queue lies within half a second; one that is killed before that has it for
  // ever without a leader, and confirms nothing that is routed to it.
  await until(() => lines >= 6, { deadlineMs: 30_000, what: 'the first lines to overheat' });
  await alerted('the start');

  for (let i = 0; i < RESTARTS; i++) {
    await stack.kill('rabbitmq', 'SIGKILL');
    await stack.start(['rabbitmq']);
  }
  await alerted(`${RESTARTS} kills of the broker`);

  await rabbitmqctl(stack, 'set_vm_memory_high_watermark', '0.00001');
  await until(async () => (await pressure()) === 2, {
    deadlineMs: 30_000,
    what: 'the pressure in the metrics',
  });
  const before = traffic.acknowledged;
  await delay(ALARM_MS);
  assert.ok(traffic.acknowledged > before, 'devices are acknowledged all the time');
  await rabbitmqctl(stack, 'set_vm_memory_high_watermark', 'absolute', '1536MB');
  await alerted('the memory alarm');
  await until(async () => (await pressure()) === 0, {
    deadlineMs: 30_000,
    what: 'the end of the pressure in the metrics',
  });

  const sentAgain = await figure(SENT_AGAIN);
  const queue = QUEUES.alerterTelemetry;
  const [binding] = queue.bindings;
  const away = `/api/bindings/${vhostOf(space.rabbitmqUrl)}/e/${binding.exchange}/q/${queue.name}`;
  // The alerter binds it anew by itself; where it was quicker than the command, once more.
  await until(
    async () => {
      await manage(space.managementUrl, `${away}/${encodeURIComponent(binding.key)}`, { method: 'DELETE' });
      const said = await weir(env, 'topology', 'check').then(
        () => 'nothing is different',
        (error: { stdout: string }) => error.stdout,
      );
      const missing = `queue ${queue.name} is not bound to ${binding.exchange} by "${binding.key}"`;
      assert.ok(said.includes(missing), said);
      return true;
    },
    { deadlineMs: 60_000, what: 'the missing binding to be named' },
  );
  await delay(UNBOUND_MS);
  await alerted('a binding was removed');
  assert.ok((await figure(SENT_AGAIN)) > sentAgain, 'what went by was sent again');

  await active.kill('SIGSTOP');
  await delay(HUNG_MS);
  await alerted('the active alerter hung');
  await active.kill('SIGCONT');

  clearInterval(heating);
  await traffic.stop();
  await traffic.settled();
  await oven.settled();
  await alerted('everything');
  const identity = (r: { device: string; seq?: number | undefined }): string => `${r.device} ${r.seq}`;
  await until(() => new Set(rabbit.readings.map(identity)).size >= traffic.known.length + lines, {
    deadlineMs: 60_000,
    what: `${traffic.known.length + lines} readings in RabbitMQ`,
    everyMs: 500,
  });
  for (let line = 0; line < lines; line++)
    assert.equal(fired.get(`line-${line}`)?.size, 1, `line-${line} has one alert`);
  for (const app of [edge, active, standby]) assert.ok(process.kill(app.pid, 0), 'still the same process');
  t.diagnostic(`${traffic.known.length} readings acknowledged, ${lines} alerts`);
  await traffic.disconnect();
});
