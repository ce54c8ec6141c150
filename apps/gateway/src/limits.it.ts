import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problem } from '@weir/api';
import { bench } from './gateway.fixture.ts';

test('a client that asks too often is told when to come back; health paths are not limited', async (t) => {
  const it = await bench(t, { WEIR_GATEWAY__RATE_LIMIT: '5' });
  const answers = [];
  for (let i = 0; i < 7; i++) answers.push(await it.get('/api/v1/alerts'));
  assert.deepEqual(
    answers.map(({ status }) => status),
    [200, 200, 200, 200, 200, 429, 429],
  );
  const refused = answers.at(-1)!;
  assert.equal(problem.parse(refused.body).code, 'rate-limited');
  assert.ok(Number(refused.headers.get('retry-after')) > 0);
  assert.match(refused.headers.get('ratelimit') ?? '', /^"api";r=0;t=\d+$/);
  assert.equal((await it.get('/readyz')).status, 200);
  assert.deepEqual(await it.app.stop(), { code: 0, signal: null });
});

test('a port that is taken is a sentence that says what to do', async (t) => {
  const it = await bench(t);
  const { spawnApp } = await import('@weir/testkit');
  const second = await spawnApp(t, 'gateway', it.space.env, { waitReady: false });
  const { code } = await second.exited();
  assert.equal(code, 1);
  assert.match(
    second.logs.join('\n'),
    /port \d+ on 127\.0\.0\.1 is taken by another program\. Stop it, or move/,
  );
});
