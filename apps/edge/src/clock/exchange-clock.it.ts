import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyTopology, openBroadcast, openPublisher } from '@weir/connect-rabbitmq';
import { createLogger } from '@weir/observe';
import { compareHlc } from '@weir/reading';
import { atEnd, isolated, until } from '@weir/testkit';
import { EXCHANGES } from '@weir/topology';
import { ArrivalClock } from './arrival-clock.ts';
import { EdgeClock } from './edge-clock.ts';
import { exchangeClocks } from './exchange-clock.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const within = { deadlineMs: 15_000, everyMs: 20 };

test('edges of a site learn each other’s clocks; one that is too far ahead is left alone and counted', async (t) => {
  const space = await isolated(t, { rabbitmq: true });
  await applyTopology({ url: space.rabbitmqUrl });
  const ignored: string[] = [];
  const edge = (name: string, aheadMs: number): EdgeClock => {
    const arrivals = new ArrivalClock({
      wall: () => Date.now() + aheadMs,
      monotonic: () => performance.now(),
      sinceBoot: () => performance.now(),
    });
    const clock = new EdgeClock({ dir: space.folder, maxAheadMs: 10_000, arrivals });
    const broadcast = openBroadcast({ url: space.rabbitmqUrl, log });
    const stop = exchangeClocks({
      clock,
      edge: name,
      broadcast,
      onIgnored: (other) => ignored.push(`${name} ignores ${other}`),
    });
    broadcast.start();
    atEnd(t, async () => {
      stop();
      await broadcast.stop();
    });
    return clock;
  };
  const slow = edge('slow/s', 0);
  const fast = edge('fast/s', 4_000);
  const wrong = edge('wrong/s', 3_600_000);

  await until(() => slow.latest() > slow.now() + 2_000, {
    ...within,
    what: 'the slow edge to follow the fast one',
  });
  // An event here, told to a person, who then does something there: the stamps keep the order.
  const cause = { hlc: fast.stamp(fast.now()), edge: 'fast/s' };
  await until(() => slow.stamp(slow.now()) > cause.hlc, { ...within, what: 'the slow edge to be past it' });
  assert.equal(compareHlc(cause, { hlc: slow.stamp(slow.now()), edge: 'slow/s' }), -1);

  await until(
    () => ignored.includes('slow/s ignores wrong/s') && ignored.includes('fast/s ignores wrong/s'),
    {
      ...within,
      what: 'the wrong clock to be ignored',
    },
  );
  assert.ok(slow.latest() < slow.now() + 60_000);
  assert.ok(Math.abs(wrong.latest() - wrong.now()) < 60_000, 'it goes on by itself');

  // Whatever else is said on the exchange does no harm.
  const publisher = openPublisher({ url: space.rabbitmqUrl, log });
  atEnd(t, () => publisher.close());
  const say = (text: string) => ({
    exchange: EXCHANGES.broadcast.name,
    key: '',
    body: Buffer.from(text),
    contentType: 'application/json',
  });
  await publisher.publish(
    ['no JSON', 'null', '{"kind":"reload"}', '{"kind":"clock","edge":"x","hlc":7}'].map(say),
  );
  await until(() => ignored.includes('slow/s ignores x'), { ...within, what: 'the nonsense to arrive' });
  assert.ok(slow.latest() < slow.now() + 60_000);
});
