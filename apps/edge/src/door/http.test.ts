import assert from 'node:assert/strict';
import { test } from 'node:test';
import { basic, post } from '../testing/post.ts';
import { openRig } from '../testing/rig.ts';

const NDJSON = { 'content-type': 'application/x-ndjson' };

test('HTTP: one reading, an array and NDJSON are durable before the answer', async (t) => {
  const rig = await openRig(t, { devices: [{ device: 'd1' }] });
  const one = await post(rig, '/ingest/v1/plant/d1/temperature', '{"value":21.4}');
  assert.equal(one.status, 202);
  assert.deepEqual(await one.json(), { accepted: 1, refused: 0, problems: [] });
  const array = await post(rig, '/ingest/v1/plant/d1', '[{"value":1},{"value":"x"},{"value":3}]');
  const answer = (await array.json()) as {
    accepted: number;
    refused: number;
    problems: { reason: string }[];
  };
  assert.deepEqual([answer.accepted, answer.refused, answer.problems[0]?.reason], [2, 1, 'schema']);
  const lines = await post(rig, '/ingest/v1/plant/d1', '{"value":1}\r\n\n{"value":\n[1,2]\n', {
    'content-type': 'application/x-ndjson',
  });
  const many = (await lines.json()) as { accepted: number; refused: number; problems: { line: number }[] };
  assert.deepEqual([many.accepted, many.refused, many.problems[0]?.line], [3, 1, 2]);
  const envelopes = await rig.envelopes();
  assert.deepEqual(
    envelopes.map(({ payload }) => payload),
    [{ value: 21.4 }, [{ value: 1 }, { value: 'x' }, { value: 3 }], { value: 1 }, [1, 2]],
  );
  assert.deepEqual(envelopes.map(({ metric, via }) => [metric, via])[0], ['temperature', 'http']);
  assert.deepEqual(
    (await rig.deadLetters()).map(({ raw }) => raw.toString()),
    ['{"value":"x"}', '{"value":'],
  );
});

test('HTTP: each refusal is a problem document', async (t) => {
  const rig = await openRig(t, {
    devices: [{ device: 'd1' }, { device: 'd2' }],
    env: { WEIR_EDGE__LIMITS__HTTP_BODY: '24KiB' },
  });
  const cases: [string, Promise<Response>, number, string][] = [
    ['no credentials', post(rig, '/ingest/v1/plant/d1', '1', { authorization: '' }), 401, 'unauthorized'],
    [
      'wrong secret',
      post(rig, '/ingest/v1/plant/d1', '1', { authorization: basic('d1', 'x') }),
      401,
      'unauthorized',
    ],
    ["another's device", post(rig, '/ingest/v1/plant/d2', '1'), 403, 'forbidden'],
    ['no such path', post(rig, '/ingest/v1/plant', '1'), 404, 'not-found'],
    ['a name with a dot', post(rig, '/ingest/v1/plant/a.b', '1'), 404, 'not-found'],
    ['bad percent encoding', post(rig, '/ingest/v1/plant/%ff', '1'), 404, 'not-found'],
    ['GET', fetch(`${rig.url}/ingest/v1/plant/d1`), 405, 'method-not-allowed'],
    ['too large', post(rig, '/ingest/v1/plant/d1', 'x'.repeat(30_000)), 413, 'body-too-large'],
    ['too many lines', post(rig, '/ingest/v1/plant/d1', 'x\n'.repeat(10_001), NDJSON), 413, 'body-too-large'],
    [
      'another type',
      post(rig, '/ingest/v1/plant/d1', '1', { 'content-type': 'text/csv' }),
      415,
      'unsupported-media-type',
    ],
  ];
  for (const [what, pending, status, code] of cases) {
    const response = await pending;
    assert.equal(response.status, status, what);
    assert.equal(response.headers.get('content-type'), 'application/problem+json', what);
    const problem = (await response.json()) as { code: string; status: number; requestId: string };
    assert.deepEqual(
      [problem.code, problem.status, typeof problem.requestId],
      [code, status, 'string'],
      what,
    );
  }
  assert.equal((await rig.records()).length, 0);
});

test('HTTP: a dead letter belongs to the device that sent it, however the path is escaped', async (t) => {
  const rig = await openRig(t, { devices: [{ device: 'd1' }] });
  assert.equal((await post(rig, '/ingest/v1/plant/d1%2Ftemperature', '{')).status, 202);
  assert.deepEqual(
    (await rig.deadLetters()).map(({ key }) => key),
    ['d1'],
  );
});
