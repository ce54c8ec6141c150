import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { alertId } from '@weir/alerts';
import { brokerTopology, manage, openConsumer, topologyDifferences, vhostOf } from '@weir/connect-rabbitmq';
import { atEnd, cutProxy, until } from '@weir/testkit';
import { EXCHANGES, eventKey, QUEUES, TABLES } from '@weir/topology';
import {
  bench,
  climb,
  climbRule,
  expectedAlerts,
  hot,
  hotRule,
  last,
  log,
  slow,
  telemetry,
  troubled,
} from './alerter.fixture.ts';
import { demoRule, labelledWindows, recordedReadings } from './recording.fixture.ts';

test('the replayed recording raises one alert, at the real failure of the machine', async (t) => {
  const { start, publish, rows, messages } = await bench(t);
  const app = await start();
  const recorded = recordedReadings();
  const begin = Date.parse('2026-01-01T00:00:00Z');
  const lines = recorded.map(({ value }, step) => ({ device: 'machine-1', ts: begin + step * 1_000, value }));
  for (let from = 0; from < lines.length; from += 25)
    await publish([telemetry(lines.slice(from, from + 25))]);
  await until(
    async () => {
      const [, stored] =
        /weir_ledger_readings_total\{[^}]*outcome="stored"[^}]*\} (\d+)/.exec(await app.metrics()) ?? [];
      return Number(stored) >= lines.length;
    },
    { deadlineMs: 60_000, what: 'every reading to be evaluated' },
  );
  await until(() => messages.length >= 2, { deadlineMs: 20_000, what: 'two messages on weir.alerts' });
  const at = (time: unknown): string => recorded[(Date.parse(String(time)) - begin) / 1_000]?.time ?? 'never';
  const found = await rows();
  assert.deepEqual(
    found.map(({ startedAt, firedAt, resolvedAt, state, severity, rule }) => ({
      ...{
        rule,
        state,
        severity,
        startedAt: at(startedAt),
        firedAt: at(firedAt),
        resolvedAt: at(resolvedAt),
      },
    })),
    [
      {
        rule: 'machine-stopped',
        state: 'resolved',
        severity: 'critical',
        startedAt: '2014-02-08 01:25:00',
        firedAt: '2014-02-08 05:10:00',
        resolvedAt: '2014-02-09 12:05:00',
      },
    ],
  );
  const [from = '', to = ''] = labelledWindows().at(-1) ?? [];
  assert.ok(at(found[0]?.firedAt) > from && at(found[0]?.resolvedAt) < to, 'within the labelled failure');
  assert.equal(messages.length, 2);
  const [firing, resolved] = messages;
  assert.equal(firing?.id, `${found[0]?.id}/firing`);
  assert.equal(resolved?.id, `${found[0]?.id}/resolved`);
  assert.deepEqual(firing?.headers, {
    severity: 'critical',
    site: 'plant-1',
    kind: 'threshold',
    state: 'firing',
    rule: 'machine-stopped',
  });
  assert.equal(firing?.alert.state, 'firing');
  assert.equal(firing?.alert.resolvedAt, null);
  assert.equal(firing?.alert.threshold, demoRule().below);
  assert.ok(Number(firing?.alert.value) < 45 && Number(resolved?.alert.value) >= 55);
  assert.equal(at(resolved?.alert.resolvedAt), '2014-02-09 12:05:00');
  const transitions = /weir_alert_transitions_total\{severity="critical",state="firing",app="alerter"\} 1$/m;
  await until(async () => transitions.test(await app.metrics()), {
    deadlineMs: 20_000,
    what: 'the alert in the metrics',
  });
});

/** Event time of readings that a kill must find acknowledged and not stored. */
const LOST_MS = 5_000;

test('kill -9 again and again: no alert is lost or doubled, and SIGTERM drains', async (t) => {
  const { database, start, publish, rows, messages, evaluated } = await bench(t, [
    hot,
    { ...hot, id: 'held', hold: '25s' },
    climb,
  ]);
  const app = await start({ WEIR_ALERTER__PREFETCH: '5' });
  const [quick, calm] = [troubled(20, 300), slow(10, 300)];
  const input = {
    messages: quick.messages.map((lines, n) => [...lines, ...(calm.messages[n] ?? [])]),
    clean: [...quick.clean, ...calm.clean],
  };
  const expected = expectedAlerts([hotRule, { ...hotRule, id: 'held', hold: 25_000 }, climbRule], {
    temperature: input.clean,
    level: input.clean,
  });
  for (const [rule, least] of [
    ['hot', 100],
    ['held', 20],
    ['climb', 20],
  ] as const) {
    const found = expected.filter((alert) => alert.rule === rule).length;
    assert.ok(found >= least, `${found} alerts of ${rule}`);
  }
  const behind = async (): Promise<number> => {
    const [row] = await database.query<{ behind: string }>(
      'reading how far states are',
      `SELECT (max(last_ts_ms) - min(last_ts_ms))::text AS behind FROM ${TABLES.alertRuleState}`,
    );
    return Number(row?.behind);
  };
  const quarter = Math.ceil(input.messages.length / 4);
  for (let kill = 0; kill < 4; kill++) {
    const part = input.messages.slice(kill * quarter, (kill + 1) * quarter);
    const seen = messages.length;
    await publish(part.flatMap((lines) => [telemetry(lines), telemetry(lines, 'normal', 'level')]));
    // In the middle of this part: alerts of it have arrived, and readings are known to this process alone.
    await until(async () => messages.length > seen + 20 && (await behind()) >= LOST_MS, {
      deadlineMs: 30_000,
      what: 'alerts, and states that are behind their readings',
      everyMs: 1,
    });
    if (kill < 3) {
      await app.kill('SIGKILL');
      await app.restart();
    }
  }
  const { code } = await app.stop();
  assert.equal(code, 0, 'SIGTERM under load');
  await app.restart();
  await publish([last]);
  await evaluated('last', 1);
  const stored = (await rows()).map(({ id, rule, state, startedAt, firedAt, resolvedAt }) => ({
    ...{ id, rule, state },
    startedAt: startedAt.getTime(),
    firedAt: firedAt?.getTime() ?? null,
    resolvedAt: resolvedAt?.getTime() ?? null,
  }));
  assert.deepEqual(stored, expected);
  const wanted = expected.flatMap(({ id, state }) => [
    ...(state === 'pending' ? [] : [`${id}/firing`]),
    ...(state === 'resolved' ? [`${id}/resolved`] : []),
  ]);
  const told = await database.query<{ id: string }>(
    'reading what is told',
    `SELECT alert_id || '/' || state AS id FROM ${TABLES.alertTransitions}`,
  );
  assert.deepEqual(told.map(({ id }) => id).toSorted(), wanted.toSorted(), 'each change is told once');
  await until(() => new Set(messages.map(({ id }) => id)).size >= wanted.length, {
    deadlineMs: 20_000,
    what: 'every message on weir.alerts',
  });
  assert.deepEqual([...new Set(messages.map(({ id }) => id))].toSorted(), wanted.toSorted());
  // A message in doubt is sent again under its own id; all it may repeat is what was in flight at a kill.
  assert.ok(messages.length - wanted.length <= 4 * 200, `${messages.length - wanted.length} repeated`);
});

test('without the database messages wait in hand; nothing is lost when it returns', async (t) => {
  const setup = await bench(t, [hot]);
  const address = new URL(setup.space.timescaleUrl);
  const proxy = await cutProxy(t, { host: address.hostname, port: Number(address.port) });
  address.port = String(proxy.port);
  const app = await setup.start({ WEIR_TIMESCALE__URL: address.href, WEIR_ALERTER__PREFETCH: '3' });
  const input = troubled(5, 100);
  const half = Math.ceil(input.messages.length / 2);
  await setup.publish(input.messages.slice(0, half).map((lines) => telemetry(lines)));
  await setup.publish([last]);
  await setup.evaluated('last', 1);
  proxy.refuse();
  await setup.publish(input.messages.slice(half).map((lines) => telemetry(lines)));
  await until(() => app.logs.some((line) => line.includes('waits for the database')), {
    deadlineMs: 15_000,
    what: 'the loss to be noticed',
  });
  const queue = await until(
    async () => {
      const path = `/api/queues/${setup.space.namespace}/${QUEUES.alerterTelemetry.name}`;
      const row = await manage<{ messages_ready: number; messages_unacknowledged: number }>(
        setup.space.managementUrl,
        path,
      );
      return row.messages_unacknowledged > 0 && row;
    },
    { deadlineMs: 15_000, what: 'messages in hand', everyMs: 200 },
  );
  assert.ok(queue.messages_unacknowledged <= 3, 'bounded by the prefetch');
  const unready = await until(
    async () => {
      const response = await fetch(`${app.url}/readyz`);
      return response.status === 503 && response.text();
    },
    { deadlineMs: 20_000, what: 'readyz to say no' },
  );
  assert.match(unready, /database/);
  proxy.admit();
  await setup.publish([telemetry([{ device: 'very-last', ts: 1, value: 0 }])]);
  await setup.evaluated('very-last', 1);
  const stored = (await setup.rows()).map(({ id, state }) => `${id} ${state}`);
  assert.deepEqual(
    stored,
    expectedAlerts([hotRule], { temperature: input.clean }).map(({ id, state }) => `${id} ${state}`),
  );
});

test('poison goes to the dead letters with its bytes, good lines beside it count', async (t) => {
  const { start, publish, rows, space, evaluated } = await bench(t, [{ ...hot, hold: '0s' }]);
  await start();
  const bad = { ...telemetry([{ device: 'a', ts: 1_000_000_000_000, value: 99 }]) };
  const body = Buffer.concat([bad.body, Buffer.from('{"device":"b","ts":\n')]);
  const event = { exchange: EXCHANGES.events.name, contentType: 'application/json' };
  await publish([
    { ...bad, body },
    { ...event, key: eventKey('plant-1', 'connected'), body: Buffer.from('{"kind":"connected"}') },
    { ...event, key: eventKey('plant-1', 'connected'), body: Buffer.from('not an event') },
    telemetry([{ device: 'c', ts: 1_000_000_000_000, value: 99 }], 'critical'),
  ]);
  await evaluated('a', 1);
  await evaluated('c', 1);
  assert.deepEqual((await rows()).map(({ device }) => device).toSorted(), ['a', 'c']);
  const dead: string[] = [];
  for (const queue of [QUEUES.alerterTelemetryDlq.name, QUEUES.alerterEventsDlq.name]) {
    const consumer = openConsumer({
      url: space.rabbitmqUrl,
      queue,
      prefetch: 10,
      log,
      handler: async (delivery) => {
        dead.push(delivery.body.toString());
        return 'ack';
      },
    });
    atEnd(t, () => consumer.stop());
    consumer.start();
  }
  await until(() => dead.length === 2, { deadlineMs: 15_000, what: 'two dead letters' });
  assert.deepEqual(dead.toSorted(), ['not an event', body.toString()].toSorted());
});

test('the alerts of a rule that was removed are closed, and that is told', async (t) => {
  const { env, start, publish, rows, messages, evaluated, space } = await bench(t, [{ ...hot, hold: '0s' }]);
  const app = await start();
  const ts = 1_000_000_000_000;
  await publish([telemetry([{ device: 'a', ts, value: 99 }])]);
  await evaluated('a', ts);
  assert.equal((await rows())[0]?.state, 'firing');
  await app.stop();
  const other = join(space.folder, 'other.yaml');
  writeFileSync(other, JSON.stringify({ alerter: { rules: [{ ...hot, id: 'hotter', above: 100 }] } }));
  await app.restart({ ...env, WEIR_CONFIG: other });
  await until(() => messages.length === 2, { deadlineMs: 20_000, what: 'both messages' });
  const id = alertId({ rule: 'hot', site: 'plant-1', device: 'a', metric: 'temperature' }, ts);
  assert.deepEqual(
    messages.map((message) => message.id),
    [`${id}/firing`, `${id}/resolved`],
  );
  assert.equal((await rows())[0]?.state, 'resolved');
});

test('a binding that somebody removed is named and comes back', async (t) => {
  const { start, space } = await bench(t);
  const app = await start();
  const vhost = vhostOf(space.rabbitmqUrl);
  const queue = QUEUES.alerterTelemetry;
  const [binding] = queue.bindings;
  const path = `/api/bindings/${vhost}/e/${binding.exchange}/q/${queue.name}/${encodeURIComponent(binding.key)}`;
  await manage(space.managementUrl, path, { method: 'DELETE' });
  const what = `queue ${queue.name} is not bound to ${binding.exchange} by "${binding.key}"`;
  await until(() => app.logs.some((line) => line.includes(JSON.stringify(what).slice(1, -1))), {
    deadlineMs: 30_000,
    what: 'the name of the binding in the log',
  });
  await until(async () => (await topologyDifferences(space.managementUrl, vhost)).length === 0, {
    deadlineMs: 30_000,
    what: 'the binding to be there again',
  });
});

test('the queues of the alerter have their dead-letter queues', () => {
  const names = new Set(brokerTopology.queues.map(({ name }) => name));
  for (const name of names)
    if (!/[.](dlq|retry-[0-9]+s)$/.test(name)) assert.ok(names.has(`${name}.dlq`), name);
});
