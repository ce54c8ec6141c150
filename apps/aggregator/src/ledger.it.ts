import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readLedger } from '@weir/connect-timescale';
import { freeOffset, spawnApp } from '@weir/testkit';
import { Bench } from './testing.ts';

const SETTINGS = { WEIR_AGGREGATOR__COMMIT_INTERVAL: '100ms', WEIR_KAFKA__SESSION_TIMEOUT: '6s' };

test('what never comes is counted once, whoever is killed; what comes twice is no hole', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const env = { ...bench.space.env, ...SETTINGS };
  let at = Date.now() - 60_000;
  const send = async (publishes: number): Promise<void> => {
    const lines = Array.from({ length: publishes }, (_, i) => {
      const device = `pump-${i % 40}`;
      const payload = `{"ts":${at},"seq":${i},"values":{"a":${i},"b":${i}}}`;
      return { device, line: bench.line({ device, at: at++, mid: 1, payload }) };
    });
    await bench.send(lines, 3);
  };
  const app = await spawnApp(t, 'aggregator', env);
  for (let round = 0; round < 10; round++) await send(200);
  await app.kill('SIGKILL');
  const again = await spawnApp(t, 'aggregator', env);
  for (let round = 0; round < 10; round++) await send(200);
  await bench.folded();
  const clean = await bench.ledger();
  assert.equal(
    [...clean.values()].reduce((sum, { through }) => sum + through, 0),
    20 * 200 * 2,
  );
  assert.deepEqual(
    [...clean.values()].map(({ missing }) => missing),
    [...clean].map(() => 0),
  );

  const { outcomes } = await readLedger(bench.database, bench.topology.readings.name);
  assert.deepEqual(outcomes, { stored: 20 * 200 * 2, duplicates: 0, deadLettered: 0 }, 'each counted once');

  // seven readings of one partition are said to be sent and are not there; then some come a second time
  const [holed] = [...clean.keys()] as [number];
  bench.sent[holed] = (bench.sent[holed] as number) + 7;
  await send(200);
  bench.sent[holed] = (bench.sent[holed] as number) - 10;
  await send(200);
  await again.kill('SIGKILL');
  const third = await spawnApp(t, 'aggregator', env);
  const fourth = await spawnApp(t, 'aggregator', { ...env, WEIR_PORTS__OFFSET: String(await freeOffset(t)) });
  await send(200);
  await bench.folded();
  assert.equal((await bench.ledger()).get(holed)?.missing, 7);
  assert.deepEqual(await third.stop(), { code: 0, signal: null });
  await send(200);
  await bench.folded();
  const rows = await bench.ledger();
  assert.equal(
    [...rows.values()].reduce((sum, { missing }) => sum + missing, 0),
    7,
  );
  assert.deepEqual(await fourth.stop(), { code: 0, signal: null });
});
