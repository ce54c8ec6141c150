import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openAdmin } from '@weir/connect-kafka';
import { applyTopology, openBroadcast } from '@weir/connect-rabbitmq';
import { retrying } from '@weir/flow';
import { createLogger, parseMetrics } from '@weir/observe';
import { atEnd, isolated, spawnApp, until } from '@weir/testkit';
import { kafkaTopology } from '@weir/topology';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });

test('an edge that is told to sends less to Kafka and all to RabbitMQ, and forgets it by itself', {
  timeout: 600_000,
}, async (t) => {
  const space = await isolated(t, { kafka: true, rabbitmq: true });
  await applyTopology({ url: space.rabbitmqUrl });
  const { readings, deadLetters } = kafkaTopology(space.namespace);
  const admin = openAdmin({ brokers: space.brokers, clientId: 'test', log });
  atEnd(t, () => admin.close());
  await retrying(() => admin.applyTopics([readings, deadLetters]), { attempts: 10 });
  const edge = await spawnApp(t, 'edge', { ...space.env, WEIR_EDGE__ANONYMOUS: 'true' }, { readyMs: 90_000 });
  const broadcast = openBroadcast({ url: space.rabbitmqUrl, log });
  atEnd(t, () => broadcast.stop());
  const figures = async () => {
    const page = parseMetrics(await edge.metrics());
    const sent = (to: string) => page.sum('weir_ledger_readings_total', { hop: `forward-${to}` }) ?? 0;
    const state = page.sum('weir_backpressure_state', { hop: 'forward-kafka' });
    return { kafka: sent('kafka'), rabbitmq: sent('rabbitmq'), state };
  };
  let seq = 0;
  const post = async (): Promise<void> => {
    const body = JSON.stringify(Array.from({ length: 10 }, () => ({ seq: ++seq, value: seq })));
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`${edge.url}/ingest/v1/plant-1/pump-7/flow`, {
      method: 'POST',
      headers,
      body,
    });
    assert.equal(response.status, 202, await response.text());
  };
  await post();
  await until(async () => (await figures()).kafka === seq, {
    deadlineMs: 30_000,
    what: 'the first readings',
  });

  const tell = (ratePerSecond: number | null) =>
    broadcast.tell({ kind: 'throttle', class: 'normal', ratePerSecond, forMs: 8_000 });
  // Nobody answers a broadcast: the edge may not be listening yet.
  await until(
    async () => {
      await tell(5);
      return (await figures()).state === 1;
    },
    { deadlineMs: 30_000, what: 'the edge to hear of the throttle', everyMs: 500 },
  );
  await until(
    async () => {
      await tell(5);
      await post();
      return seq >= 500;
    },
    { deadlineMs: 60_000, what: '500 readings to be taken', everyMs: 1 },
  );
  await until(
    async () => {
      await tell(5); // it is forgotten after 8 s, and a busy machine may need longer
      return (await figures()).rabbitmq === seq;
    },
    { deadlineMs: 30_000, what: 'all in RabbitMQ', everyMs: 500 },
  );
  await tell(5);
  const held = await figures();
  t.diagnostic(`of ${seq} readings ${held.kafka} went to Kafka, ${held.rabbitmq} to RabbitMQ`);
  assert.ok(held.kafka < seq, 'Kafka has less');

  await until(async () => (await figures()).state === 0, {
    deadlineMs: 30_000,
    what: 'the throttle to be forgotten',
  });
  await until(async () => (await figures()).kafka === seq, { deadlineMs: 30_000, what: 'all in Kafka' });
});
