import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import type { WeirError } from '@weir/flow';
import { createLogger } from '@weir/observe';
import { isolated, until } from '@weir/testkit';
import { EXCHANGES, QUEUES } from '@weir/topology';
import { dial, hangUp } from './connection.ts';
import {
  applyTopology,
  brokerTopology,
  manage,
  openPublisher,
  queueDepths,
  topologyDifferences,
  vhostOf,
} from './index.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const space = await isolated({ after }, { rabbitmq: true });

/** Queues show in the management API a moment after they were declared. */
const untilTold = (ask: () => Promise<string[]>, expected: readonly string[]): Promise<unknown> =>
  until(
    async () => {
      assert.deepEqual((await ask()).sort(), expected);
      return true;
    },
    { deadlineMs: 30_000, what: 'the differences', everyMs: 250 },
  );

async function ownVhost(t: TestContext): Promise<{ url: string; managementUrl: string; vhost: string }> {
  const { rabbitmqUrl: url, managementUrl } = await isolated(t, { rabbitmq: true });
  return { url, managementUrl, vhost: vhostOf(url) };
}

test('the topology is applied, twice without a change, and is what the management API shows', async () => {
  await applyTopology({ url: space.rabbitmqUrl });
  await applyTopology({ url: space.rabbitmqUrl });
  const exchanges = await manage<{ name: string; type: string; durable: boolean }[]>(
    space.managementUrl,
    `/api/exchanges/${space.namespace}`,
  );
  for (const { name, kind } of brokerTopology.exchanges) {
    const found = exchanges.find((exchange) => exchange.name === name);
    assert.equal(found?.type, kind, name);
    assert.equal(found?.durable, true);
  }
  const bindings = await manage<{ source: string; destination: string; routing_key: string }[]>(
    space.managementUrl,
    `/api/bindings/${space.namespace}`,
  );
  for (const queue of brokerTopology.queues) {
    for (const { exchange, key } of queue.bindings) {
      const found = bindings.filter(
        (binding) =>
          binding.source === exchange && binding.destination === queue.name && binding.routing_key === key,
      );
      assert.equal(found.length, 1, `${exchange} → ${queue.name} (${key})`);
    }
  }
});

test('a queue that exists in another form: the message names the difference and the way out', async () => {
  await applyTopology({ url: space.rabbitmqUrl });
  const queue = QUEUES.alerterEvents;
  const other = { ...queue, arguments: { ...queue.arguments, 'x-max-length': 5 } };
  await assert.rejects(
    applyTopology({ url: space.rabbitmqUrl }, { exchanges: [], queues: [other] }),
    (error: WeirError) => {
      assert.equal(error.code, 'WEIR_STATE');
      assert.equal(error.retry, 'fatal');
      assert.match(error.message, /queue weir\.alerter\.events/);
      assert.match(error.message, /x-max-length/);
      assert.match(error.message, /delete/);
      return true;
    },
  );
  const exchanges = [{ name: EXCHANGES.events.name, kind: 'fanout' }] as const;
  await assert.rejects(applyTopology({ url: space.rabbitmqUrl }, { exchanges, queues: [] }), {
    code: 'WEIR_STATE',
    retry: 'fatal',
    message: /exchange weir\.events.*type/,
  });
});

test('the comparison names every difference, and none when there is none', async (t) => {
  const { url, managementUrl, vhost } = await ownVhost(t);
  const compare = (): Promise<string[]> => topologyDifferences(managementUrl, vhost);
  const nothing = await compare();
  assert.ok(nothing.includes(`exchange ${EXCHANGES.alerts.name} is missing`));
  assert.ok(nothing.includes(`queue ${QUEUES.alerterEvents.name} is missing`));
  await applyTopology({ url });
  await untilTold(compare, []);

  const connection = await dial({ url, name: 'test' });
  t.after(() => hangUp(connection));
  const channel = await connection.createChannel();
  const { alerterTelemetry, alerterEvents } = QUEUES;
  await channel.unbindQueue(alerterTelemetry.name, EXCHANGES.telemetry.name, 'telemetry.normal.#');
  await channel.bindQueue(alerterTelemetry.name, EXCHANGES.telemetry.name, 'telemetry.#');
  await channel.deleteQueue(alerterEvents.name);
  await channel.assertQueue(alerterEvents.name, {
    arguments: { ...alerterEvents.arguments, 'x-max-length': 5 },
  });
  await channel.deleteExchange(EXCHANGES.alerts.name);
  await channel.assertExchange(EXCHANGES.alerts.name, 'fanout');
  await untilTold(compare, [
    'exchange weir.alerts is of kind fanout, and should be headers',
    'queue weir.alerter.events has x-max-length 5, and should have 1000000',
    'queue weir.alerter.events is not bound to weir.events by "#"',
    'queue weir.alerter.telemetry is bound to weir.telemetry by "telemetry.#", which the topology does not say',
    'queue weir.alerter.telemetry is not bound to weir.telemetry by "telemetry.normal.#"',
  ]);
});

test('the rendered definitions, imported into an empty virtual host, are the topology', async (t) => {
  const { managementUrl, vhost } = await ownVhost(t);
  const file = join(import.meta.dirname, '../../../infra/rabbitmq/definitions.json');
  const body = JSON.parse(readFileSync(file, 'utf8')) as unknown;
  await manage(managementUrl, `/api/definitions/${encodeURIComponent(vhost)}`, { method: 'POST', body });
  await untilTold(() => topologyDifferences(managementUrl, vhost), []);
});

test('queue depths count what waits', async (t) => {
  await applyTopology({ url: space.rabbitmqUrl });
  const publisher = openPublisher({ url: space.rabbitmqUrl, log });
  t.after(() => publisher.close());
  const message = {
    exchange: EXCHANGES.events.name,
    key: 'events.plant.online',
    body: Buffer.from('{}'),
    contentType: 'application/json',
  };
  assert.equal((await publisher.publish([message, message, message])).size, 0);
  const depth = await until(
    async () => {
      const depths = await queueDepths(space.managementUrl, vhostOf(space.rabbitmqUrl));
      assert.equal(depths.length, brokerTopology.queues.length);
      return depths.find(({ name, ready }) => name === QUEUES.alerterEvents.name && ready === 3);
    },
    { deadlineMs: 30_000, what: 'three waiting events', everyMs: 250 },
  );
  assert.deepEqual([depth.unacked, depth.consumers], [0, 0]);
});

test('the management API away, or with wrong credentials, says so', async () => {
  await assert.rejects(queueDepths('http://weir:x@127.0.0.1:1', '/'), {
    code: 'WEIR_CONNECT_FAILED',
    retry: 'transient',
  });
  const wrong = new URL(space.managementUrl);
  wrong.password = 'wrong';
  await assert.rejects(queueDepths(wrong.href, '/'), { code: 'WEIR_UNAUTHORIZED', retry: 'fatal' });
});
