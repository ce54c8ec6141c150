import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type LagDetail, type LagHistory, type LagList, lagExplanation } from '@weir/api';
import { openPublisher } from '@weir/connect-rabbitmq';
import { spawnApp, until } from '@weir/testkit';
import { QUEUES } from '@weir/topology';
import { bench, log } from './gateway.fixture.ts';

const scope = { after };
const it = await bench(scope);
const QUEUE = QUEUES.alerterEvents.name;
const ONE = `/api/v1/lag/rabbitmq/${QUEUE}`;

test('lag is asked of the monitor: away, then a queue that nobody reads, its cause and its history', async (t) => {
  const away = await it.get('/api/v1/lag');
  assert.equal(away.status, 503);
  assert.match(away.headers.get('content-type') ?? '', /^application\/problem\+json/);
  assert.equal(away.body.code, 'lag-monitor-away');
  assert.equal(away.headers.get('retry-after'), '5');

  const publisher = openPublisher({ url: it.space.rabbitmqUrl, log });
  const message = { exchange: '', key: QUEUE, body: Buffer.from('{}'), contentType: 'application/json' };
  assert.equal((await publisher.publish(Array.from({ length: 7 }, () => message))).size, 0);
  await publisher.close();
  await spawnApp(t, 'lag-monitor', {
    ...it.space.env,
    WEIR_LAG_MONITOR__INTERVAL: '1s',
    WEIR_LAG_MONITOR__DEADLINE: '900ms',
  });

  const verdict = async () => {
    const { body } = await it.get('/api/v1/lag');
    return (body as Partial<LagList>).groups?.find(({ group }) => group === QUEUE)?.verdict;
  };
  await until(async () => (await verdict()) === 'STOP', {
    deadlineMs: 60_000,
    what: 'the queue to be STOP',
    everyMs: 250,
  });
  // A measurement that misses its deadline leaves everything unknown until the next one.
  await until(
    async () => {
      const { group, members } = (await it.get(ONE)).body as LagDetail;
      assert.deepEqual([group.lag, group.consumers, members.length], [7, 0, 1]);
      const explained = lagExplanation.parse((await it.get(`${ONE}/explain`)).body);
      assert.equal(explained.cause.cause, 'no-consumer');
      return true;
    },
    { deadlineMs: 30_000, what: 'the queue and the cause', everyMs: 250 },
  );

  const history = async () => {
    const { body } = await it.get(`/api/v1/lag/history?system=rabbitmq&group=${QUEUE}&points=10`);
    return (body as Partial<LagHistory>).points ?? [];
  };
  await until(async () => (await history()).some(({ lag }) => lag === 7), {
    deadlineMs: 60_000,
    what: 'a row of history',
    everyMs: 250,
  });

  const none = await it.get('/api/v1/lag/kafka/nobody');
  assert.deepEqual([none.status, none.body.code], [404, 'not-found']);
  assert.match(none.body.detail, /no such group or queue/);
  const wrong = await it.get('/api/v1/lag/nats/nobody');
  assert.deepEqual([wrong.status, wrong.body.code], [400, 'bad-request']);
  const turned = await it.get(`/api/v1/lag/history?system=kafka&group=g&from=2000000000000&to=1000000000000`);
  assert.equal(turned.status, 400);
  const { paths } = (await it.get('/api/v1/openapi.json')).body;
  for (const path of ['', '/history', '/{system}/{group}', '/{system}/{group}/explain'])
    assert.ok(paths[`/api/v1/lag${path}`]?.get, path);
});
