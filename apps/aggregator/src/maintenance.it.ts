import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readExpiry } from '@weir/connect-timescale';
import { freeOffset, spawnApp, until } from '@weir/testkit';
import { LEVELS } from '@weir/topology';
import { Bench, metric } from './testing.ts';

const HOUR = 3_600_000;

test('one of two aggregators drops what is past its retention, and the other takes over', {
  timeout: 600_000,
}, async (t) => {
  const bench = await Bench.open(t);
  const env = {
    ...bench.space.env,
    WEIR_AGGREGATOR__ALLOWED_LATENESS: '60s',
    WEIR_AGGREGATOR__COMMIT_INTERVAL: '150ms',
    WEIR_KAFKA__SESSION_TIMEOUT: '6s',
    WEIR_RETENTION__INTERVAL: '1s',
    WEIR_RETENTION__WINDOWS__1S: '30m',
  };
  const apps = [
    await spawnApp(t, 'aggregator', env),
    await spawnApp(t, 'aggregator', { ...env, WEIR_PORTS__OFFSET: String(await freeOffset(t)) }),
  ];
  const start = Math.floor(Date.now() / HOUR) * HOUR - 8 * HOUR;
  const send = async (hour: number): Promise<void> => {
    const at = start + hour * HOUR;
    const device = 'device-1';
    await bench.send([{ device, line: bench.line({ device, at, payload: `{"ts":${at},"value":${hour}}` }) }]);
    await bench.folded();
  };
  const expired = async (hour: number): Promise<void> => {
    await until(
      async () => (await readExpiry(bench.database)).get(LEVELS[0].table)?.getTime() === start + hour * HOUR,
      { deadlineMs: 40_000, what: `panes before hour ${hour} to be dropped` },
    );
  };
  for (const hour of [0, 1, 2]) await send(hour);
  await expired(2);
  const holds = await Promise.all(
    apps.map(async (app) => metric(await app.metrics(), 'weir_maintenance_holder')),
  );
  assert.deepEqual(holds.toSorted(), [0, 1]);
  const holder = apps[holds.indexOf(1)] as (typeof apps)[number];
  const other = apps[holds.indexOf(0)] as (typeof apps)[number];
  // What it dropped is gone for others a moment before it counts it.
  const text = await until(
    async () => {
      const found = await holder.metrics();
      const dropped = metric(found, 'weir_retention_chunks_total', { table: LEVELS[0].table });
      const succeeded = metric(found, 'weir_maintenance_last_success_timestamp_seconds');
      return dropped >= 1 && succeeded > Date.now() / 1_000 - 60 && found;
    },
    { deadlineMs: 20_000, what: 'the dropped chunks and the success in the metrics' },
  );
  assert.equal(metric(text, 'weir_maintenance_failures_total'), 0);

  await holder.kill('SIGKILL');
  for (const hour of [3, 4]) await send(hour);
  await expired(4);
  assert.equal(metric(await other.metrics(), 'weir_maintenance_holder'), 1);
  await until(
    async () => {
      const [row] = await bench.database.query<{ token: string; fresh: boolean }>(
        'reading the token',
        `SELECT token, succeeded_at > now() - interval '1 min' AS fresh FROM maintenance`,
      );
      assert.deepEqual(row, { token: '2', fresh: true });
      return true;
    },
    { deadlineMs: 20_000, what: 'the success of the second holder' },
  );
});
