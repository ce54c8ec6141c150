import { test } from 'node:test';
import { until } from '@weir/testkit';
import { audit } from '../support/audit.ts';
import { ownStack } from '../support/own-stack.ts';
import { startPipeline } from '../support/pipeline.ts';
import { auditRabbit, windowedReadings } from '../support/sinks.ts';
import { Traffic } from '../support/traffic.ts';

const PORT_OFFSET = 17_000;

test('kill -9 of each app and each server in turn under 2,000 readings/s loses and doubles nothing', {
  timeout: 600_000,
}, async (t) => {
  const stack = await ownStack(t, PORT_OFFSET);
  const { space, apps, mqttPort } = await startPipeline(t);
  const rabbit = await auditRabbit(t, space);
  const traffic = new Traffic(t, { mqttPort, devices: 200, hertz: 10 });
  await traffic.start();

  /** The whole path works again: what was acknowledged until now has reached the windows. */
  const recovered = async (after: string): Promise<void> => {
    const target = traffic.acknowledged + 4_000;
    await until(() => traffic.acknowledged >= target, {
      deadlineMs: 60_000,
      what: `acknowledgements after kill -9 of ${after}`,
    });
    await until(async () => (await windowedReadings(space)) >= target, {
      deadlineMs: 90_000,
      what: `windows after kill -9 of ${after}`,
      everyMs: 500,
    });
  };
  await recovered('nothing');
  for (const name of ['edge', 'aggregator', 'archiver', 'alerter'] as const) {
    const began = performance.now();
    await apps[name].kill('SIGKILL');
    await apps[name].restart();
    await recovered(name);
    t.diagnostic(`${name}: killed and caught up in ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  }
  for (const name of stack.servers) {
    const began = performance.now();
    await stack.kill(name, 'SIGKILL');
    await stack.start([name]);
    await recovered(name);
    t.diagnostic(`${name}: killed and caught up in ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  }
  await traffic.stop();
  await traffic.settled();
  const result = await audit(space, rabbit, traffic.known, 120_000);
  t.diagnostic(
    `${traffic.known.length} readings acknowledged, ${result.lines} lines in the log, ${result.windows} windows audited`,
  );
  await traffic.disconnect();
});
