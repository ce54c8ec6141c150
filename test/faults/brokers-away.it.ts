import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { until } from '@weir/testkit';
import { audit } from '../support/audit.ts';
import { ownStack } from '../support/own-stack.ts';
import { startPipeline } from '../support/pipeline.ts';
import { auditRabbit, windowedReadings } from '../support/sinks.ts';
import { Traffic } from '../support/traffic.ts';

const PORT_OFFSET = 15_500;
const MIB = 1 << 20;

/** Resident memory of a process in bytes. */
function resident(pid: number): number {
  const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) * 1_024;
}

test('with Kafka and RabbitMQ away the edge acknowledges up to its limit, then holds the devices and does not grow', {
  timeout: 600_000,
}, async (t) => {
  const stack = await ownStack(t, PORT_OFFSET);
  const { space, apps, mqttPort, edgeUrl } = await startPipeline(t, {
    env: {
      WEIR_EDGE__SPOOL__MAX_SIZE: '8MiB',
      WEIR_EDGE__SPOOL__SEGMENT_SIZE: '1MiB',
      WEIR_EDGE__SPOOL__MEMORY: '4MiB',
    },
  });
  const rabbit = await auditRabbit(t, space);
  const traffic = new Traffic(t, { mqttPort, devices: 200, hertz: 10 });
  await traffic.start();
  // Half a minute of running: what a new process still takes for its caches and compiled code is not growth. Its peak
  // is compared with the later peak: a single sample may fall right behind a collection.
  let memory = 0;
  await until(
    async () => {
      memory = Math.max(memory, resident(apps.edge.pid));
      return (await windowedReadings(space)) >= 60_000;
    },
    { deadlineMs: 120_000, what: 'the pipeline to run', everyMs: 200 },
  );

  await stack.stop(['kafka', 'rabbitmq']);
  const before = traffic.acknowledged;
  const pressure = async (): Promise<number> => {
    const line = (await apps.edge.metrics())
      .split('\n')
      .find((l) => l.startsWith('weir_backpressure_state') && l.includes('hop="device-gate"'));
    return Number(line?.split(' ').at(-1));
  };
  await until(async () => (await pressure()) === 2, {
    deadlineMs: 120_000,
    what: 'the spool to be full',
    everyMs: 250,
  });
  const held = traffic.acknowledged;
  assert.ok(held - before > 10_000, `only ${held - before} readings were acknowledged from the spool`);

  // Blocked: nothing more is acknowledged and the edge does not grow while the devices go on trying.
  let most = 0;
  const until15s = performance.now() + 15_000;
  await until(
    () => {
      most = Math.max(most, resident(apps.edge.pid));
      return performance.now() > until15s;
    },
    { deadlineMs: 30_000, what: 'fifteen seconds of pressure', everyMs: 200 },
  );
  assert.ok(
    traffic.acknowledged - held < 2_000,
    `${traffic.acknowledged - held} readings were acknowledged beyond the limit`,
  );
  assert.ok(most - memory < 20 * MIB, `resident memory grew by ${((most - memory) / MIB).toFixed(1)} MiB`);
  const refused = await fetch(`${edgeUrl}/ingest/v1/plant-1/over-http`, {
    method: 'POST',
    body: '{"value":1}',
    headers: { 'content-type': 'application/json' },
  });
  assert.equal(refused.status, 429);
  assert.ok(Number(refused.headers.get('retry-after')) > 0);

  await stack.start(['kafka', 'rabbitmq']);
  await until(() => traffic.acknowledged > held + 20_000, {
    deadlineMs: 90_000,
    what: 'acknowledgements after the brokers returned',
  });
  await traffic.stop();
  await traffic.settled();
  const result = await audit(space, rabbit, traffic.known, 120_000);
  t.diagnostic(
    `${held - before} acknowledged while both brokers were away; memory ${(memory / MIB).toFixed(1)} MiB, at most ${(most / MIB).toFixed(1)} MiB`,
  );
  t.diagnostic(`${traffic.known.length} readings, ${result.lines} lines, ${result.windows} windows audited`);
  await traffic.disconnect();
});
