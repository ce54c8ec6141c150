import assert from 'node:assert/strict';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { after, test } from 'node:test';
import type { Subscription, SubscriptionList } from '@weir/api';
import { manage, openPublisher } from '@weir/connect-rabbitmq';
import { until } from '@weir/testkit';
import { EXCHANGES, eventKey, telemetryKey } from '@weir/topology';
import { bench, log } from './gateway.fixture.ts';

const { app, space, get } = await bench({ after });
const publisher = openPublisher({ url: space.rabbitmqUrl, log });
after(() => publisher.close());

async function subscribe(body: Record<string, unknown>): Promise<Subscription> {
  const response = await fetch(`${app.url}/api/v1/subscriptions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-weir-actor': 'ann' },
    body: JSON.stringify(body),
  });
  assert.equal(response.status, 201, await response.clone().text());
  const made = (await response.json()) as Subscription;
  assert.equal(response.headers.get('location'), `/api/v1/subscriptions/${made.id}/messages`);
  return made;
}
const publish = async (site: string, metric: string, values: readonly number[]): Promise<void> => {
  const body = values.map((value) => `{"device":"pump-1","ts":1,"value":${value},"at":2}\n`).join('');
  await publisher.publish([
    {
      exchange: EXCHANGES.telemetry.name,
      key: telemetryKey('normal', site, metric),
      body: Buffer.from(body),
      headers: { site, metric, class: 'normal', count: values.length },
      contentType: 'application/x-ndjson',
    },
  ]);
};
/** A reader of a subscription that keeps its lines. */
async function reader(id: string) {
  const leaving = new AbortController();
  after(() => leaving.abort());
  const response = await fetch(`${app.url}/api/v1/subscriptions/${id}/messages`, { signal: leaving.signal });
  assert.equal(response.status, 200);
  const lines: Record<string, unknown>[] = [];
  const input = Readable.fromWeb(response.body as ReadableStream<Uint8Array>).on('error', () => undefined);
  createInterface({ input })
    .on('line', (line) => lines.push(JSON.parse(line) as Record<string, unknown>))
    .on('error', () => undefined);
  return { lines, leave: () => leaving.abort() };
}
const remove = (id: string): Promise<Response> =>
  fetch(`${app.url}/api/v1/subscriptions/${id}`, { method: 'DELETE' });

test('a subscription collects what its pattern says, and its readings stand alone as lines', async () => {
  const made = await subscribe({ pattern: 'telemetry.plant-1.*' });
  assert.equal(made.createdBy, 'ann');
  assert.deepEqual(made.keys, ['telemetry.*.plant-1.*', 'telemetry.*.plant-1.*.*']);
  await publish('plant-1', 'heat', [1, 2]);
  await publish('plant-2', 'heat', [3]);
  const one = await reader(made.id);
  await until(() => one.lines.length === 2, { deadlineMs: 10_000, what: 'two readings' });
  await publish('plant-1', 'smoke', [4]);
  await until(() => one.lines.length === 3, { deadlineMs: 10_000, what: 'the third' });
  assert.deepEqual(one.lines[0], {
    site: 'plant-1',
    metric: 'heat',
    class: 'normal',
    device: 'pump-1',
    ts: 1,
    value: 1,
    at: 2,
  });
  assert.deepEqual(
    one.lines.map(({ value }) => value),
    [1, 2, 4],
  );
  one.leave();
  const two = await reader(made.id);
  await until(
    async () => {
      await publish('plant-1', 'heat', [5]);
      return two.lines.at(-1)?.value === 5;
    },
    { deadlineMs: 10_000, what: 'the next reader to get what comes' },
  );
  two.leave();
  assert.equal((await remove(made.id)).status, 204);
  assert.equal((await remove(made.id)).status, 404);
});

test('the oldest make room, readers share, events come with their key', async () => {
  const small = await subscribe({ pattern: 'telemetry.hall.#', maxMessages: 3 });
  for (let value = 1; value <= 5; value++) await publish('hall', 'heat', [value]);
  const late = await reader(small.id);
  await until(() => late.lines.length === 3, { deadlineMs: 10_000, what: 'three readings' });
  assert.deepEqual(
    late.lines.map(({ value }) => value),
    [3, 4, 5],
  );
  const mate = await reader(small.id);
  await until(
    async () => {
      await publish('hall', 'heat', [6]);
      return mate.lines.length > 0 && late.lines.length > 3;
    },
    { deadlineMs: 10_000, what: 'both readers to get something' },
  );

  const events = await subscribe({ pattern: 'events.*.disconnected' });
  const heard = await reader(events.id);
  const key = eventKey('plant-1', 'disconnected');
  await publisher.publish([
    {
      exchange: EXCHANGES.events.name,
      key,
      body: Buffer.from('{"kind":"disconnected","device":"pump-1"}'),
      contentType: 'application/json',
    },
  ]);
  await until(() => heard.lines.length === 1, { deadlineMs: 10_000, what: 'the event' });
  assert.deepEqual(heard.lines[0], { key, kind: 'disconnected', device: 'pump-1' });

  const list = (await get('/api/v1/subscriptions')).body as SubscriptionList;
  assert.deepEqual(
    list.subscriptions.map(({ id }) => id),
    [small.id, events.id],
  );
});

test('one whose queue is gone is made again by its reader; what is no pattern is refused', async () => {
  const made = await subscribe({ pattern: 'telemetry.critical.#', ordered: true });
  await manage(space.managementUrl, `/api/queues/${space.namespace}/${made.queue}`, { method: 'DELETE' });
  const one = await reader(made.id);
  await publisher.publish([
    {
      exchange: EXCHANGES.telemetry.name,
      key: telemetryKey('critical', 'plant-1', 'smoke'),
      body: Buffer.from('{"device":"pump-1","ts":1,"value":7,"at":2}\n'),
      headers: { site: 'plant-1', metric: 'smoke', class: 'critical' },
      contentType: 'application/x-ndjson',
    },
  ]);
  await until(() => one.lines[0]?.value === 7, { deadlineMs: 10_000, what: 'the reading' });
  for (const pattern of ['alerts.#', 'telemetry.a b.c', '']) {
    const refused = await fetch(`${app.url}/api/v1/subscriptions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ pattern }),
    });
    assert.equal(refused.status, 400, pattern);
  }
  assert.equal(
    (await get('/api/v1/subscriptions/00000000-0000-4000-8000-000000000000/messages')).status,
    404,
  );
});
