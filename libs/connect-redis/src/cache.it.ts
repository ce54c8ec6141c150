import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WeirError } from '@weir/flow';
import { createLogger } from '@weir/observe';
import { atEnd, isolated, type Scope, until, wireTo } from '@weir/testkit';
import { cacheKey } from '@weir/topology';
import { type Cache, openCache } from './index.ts';

const log = createLogger({ app: 'test', level: 'silent', format: 'json' });
const ready = (cache: Cache) =>
  until(() => cache.state === 'ready', { deadlineMs: 20_000, what: 'the cache to be ready' });

function open(scope: Scope, url: string, deadlineMs = 40): Cache {
  const cache = openCache({ url, log, deadlineMs, pauseMs: 300 });
  atEnd(scope, () => cache.close());
  return cache;
}

/** Longer than any call takes on a busy machine. */
const PATIENT_MS = 10_000;

async function failsFast(call: () => Promise<unknown>, code: string): Promise<void> {
  const started = performance.now();
  await assert.rejects(call, (error) => {
    assert.ok(error instanceof WeirError, String(error));
    assert.equal(error.retry, 'transient');
    assert.equal(error.code, code);
    return true;
  });
  const took = performance.now() - started;
  assert.ok(took < PATIENT_MS / 4, `took ${took.toFixed(0)} ms`);
}

test('what is set is read back until its time is over', async (t) => {
  const { namespace, redisUrl } = await isolated(t, { redis: true });
  const cache = open(t, redisUrl, PATIENT_MS);
  await ready(cache);
  await cache.check();
  const key = cacheKey(namespace, 'answer');
  assert.equal(await cache.get(key), null);
  await cache.set(key, '{"n":1,"text":"grün\u0000"}', 3_000);
  assert.equal(await cache.get(key), '{"n":1,"text":"grün\u0000"}');
  await until(async () => (await cache.get(key)) === null, {
    what: 'the answer to expire',
    deadlineMs: 20_000,
  });
});

test('nobody listens: calls fail at once, and the cache connects by itself when somebody does', async (t) => {
  const { namespace, redisUrl } = await isolated(t, { redis: true });
  const wire = await wireTo(t, redisUrl);
  const cache = open(t, wire.url, PATIENT_MS);
  await ready(cache);
  const key = cacheKey(namespace, 'away');
  await cache.set(key, 'kept', 120_000);
  await wire.cut();
  await until(() => cache.state === 'away', { deadlineMs: 20_000, what: 'the loss to be seen' });
  await failsFast(() => cache.get(key), 'WEIR_CONNECT_FAILED');
  await failsFast(() => cache.set(key, 'lost', 1_000), 'WEIR_CONNECT_FAILED');
  await wire.mend();
  await ready(cache);
  assert.equal(await cache.get(key), 'kept');
});

test('a frozen server costs one call its deadline and the next ones nothing', async (t) => {
  const { namespace, redisUrl } = await isolated(t, { redis: true });
  const wire = await wireTo(t, redisUrl);
  const cache = open(t, wire.url);
  await ready(cache);
  wire.freeze(true);
  const key = cacheKey(namespace, 'frozen');
  await failsFast(() => cache.get(key), 'WEIR_TIMEOUT');
  assert.equal(cache.state, 'paused');
  const started = performance.now();
  for (let i = 0; i < 100; i++) await assert.rejects(cache.get(key));
  assert.ok(performance.now() - started < 2_000, 'a hundred deadlines would be 4 s');
  wire.freeze(false);
  const answers = async () => (await cache.get(key).catch(() => 'no')) === null;
  await until(answers, { deadlineMs: 20_000, what: 'answers after the thaw' });
});

test('close is idempotent and ends every call', async (t) => {
  const { redisUrl } = await isolated(t, { redis: true });
  const cache = open(t, redisUrl);
  await ready(cache);
  cache.close();
  cache.close();
  await failsFast(() => cache.get('weir:x'), 'WEIR_CONNECT_FAILED');
});

test('a refused password leaves the cache away, and every call fails at once', async (t) => {
  const { redisUrl } = await isolated(t, { redis: true });
  const url = new URL(redisUrl);
  url.password = 'wrong';
  let said = '';
  const refusing = { ...log, warn: (_: unknown, text: string) => (said = text) } as unknown as typeof log;
  const cache = openCache({ url: url.href, log: refusing });
  atEnd(t, () => cache.close());
  await until(() => said.includes('WRONGPASS'), { deadlineMs: 20_000, what: 'the refusal to be logged' });
  await failsFast(() => cache.get('weir:x'), 'WEIR_CONNECT_FAILED');
  assert.equal(cache.state, 'away');
});
