import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appInstances } from './apps.ts';
import { BLOCKED_PORTS, requireReachable } from './blocked-ports.ts';

test('each of the blocked ports is one that fetch refuses', async () => {
  for (const port of BLOCKED_PORTS) {
    const refused = await fetch(`http://127.0.0.1:${port}/`).catch((error: Error) => error.cause);
    assert.match(String(refused), /bad port/, `${port}`);
  }
});

test('an offset that puts a page, an API or an admin server at a blocked port is refused, with one that does not', () => {
  const check = (offset: number, edges = 1): void =>
    requireReachable(appInstances(edges, '/data', offset), offset);
  for (const offset of [0, 1_000, 3_000, 12_000, 20_000]) check(offset, 8);
  assert.throws(() => check(2_000), {
    code: 'WEIR_CONFIG_INVALID',
    message: /^ports\.offset 2000 would put the gateway at port 10080, .*such as 2010\.$/,
  });
  check(2_010);
  assert.throws(() => check(1_985), /the aggregator at port 10080/);
  // edge-2 listens 120 above the first: 8081 + 120 + 1879
  check(1_879);
  assert.throws(() => check(1_879, 2), /the edge-2 at port 10080/);
  assert.throws(() => check(1_080), /the server minio at port 10080/);
});
