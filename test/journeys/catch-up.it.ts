import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Summary } from '@weir/api';
import { spawnApp, until } from '@weir/testkit';
import { PORTS } from '@weir/topology';
import { startPipeline } from '../support/pipeline.ts';
import { windowedReadings } from '../support/sinks.ts';
import { Traffic } from '../support/traffic.ts';

/** How long the windows stand still. */
const STILL_MS = Number(process.env.WEIR_FAULT_SECONDS ?? 20) * 1_000;
const NEWEST_MS = 5_000;
const READY_MS = 90_000;

test('while the windows are behind, the newest value of a device is at most 5 s old, and the windows are completed', {
  timeout: 300_000 + 2 * STILL_MS,
}, async (t) => {
  const { space, apps, mqttPort } = await startPipeline(t, {
    readyMs: READY_MS,
    env: {
      WEIR_GATEWAY__CATCH_UP_AFTER: '8s',
      WEIR_LAG_MONITOR__INTERVAL: '2s',
      WEIR_LAG_MONITOR__DEADLINE: '2s',
    },
  });
  await spawnApp(t, 'lag-monitor', space.env, { readyMs: READY_MS });
  await spawnApp(t, 'gateway', space.env, { readyMs: READY_MS });
  const url = `http://127.0.0.1:${PORTS.gateway + space.portOffset}/api/v1/devices/dev-3/summary?levels=1s`;
  const summary = async (): Promise<Summary> => {
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
    assert.equal(response.status, 200, await response.clone().text());
    return (await response.json()) as Summary;
  };
  /** Age of the newest value as it is shown, milliseconds. */
  const age = ({ metrics }: Summary): number => Date.now() - Date.parse(metrics[0]?.at ?? '');
  const traffic = new Traffic(t, { mqttPort, devices: 10, hertz: 2 });
  await traffic.start();
  await until(
    async () => {
      const shown = await summary();
      return age(shown) < 20_000 && !shown.catchingUp;
    },
    { deadlineMs: 60_000, what: 'windows of the device', everyMs: 250 },
  );

  await apps.aggregator.kill('SIGSTOP');
  const stillFrom = performance.now();
  await until(async () => (await summary()).catchingUp, {
    deadlineMs: 60_000,
    what: 'newest values from the live feed',
    everyMs: 250,
  });
  await until(async () => age(await summary()) < NEWEST_MS, { deadlineMs: 10_000, what: 'the newest value' });
  let oldest = 0;
  let behind = 0;
  const others: Summary[] = [];
  await until(
    async () => {
      const shown = await summary();
      oldest = Math.max(oldest, age(shown));
      behind = Date.now() - Date.parse(shown.watermark ?? '');
      if (!shown.catchingUp || shown.liveness.state !== 'online') others.push(shown);
      return performance.now() - stillFrom >= STILL_MS;
    },
    { deadlineMs: STILL_MS + 60_000, what: 'the windows to stand still for a while', everyMs: 500 },
  );
  assert.deepEqual(others, []);
  assert.ok(oldest < NEWEST_MS, `the newest value was ${oldest} ms old`);
  assert.ok(behind > 8_000, `the windows were only ${behind} ms behind`);

  await apps.aggregator.kill('SIGCONT');
  await traffic.stop();
  await traffic.settled();
  await until(async () => (await windowedReadings(space)) === traffic.known.length, {
    deadlineMs: 60_000,
    what: 'every reading in a window, once',
    everyMs: 500,
  });
  await until(async () => !(await summary()).catchingUp, { deadlineMs: 30_000, what: 'stored values again' });
  t.diagnostic(
    `windows ${Math.round(behind / 1_000)} s behind, newest value at most ${Math.round(oldest)} ms old; then ${traffic.known.length} readings in windows`,
  );
  await traffic.disconnect();
});
