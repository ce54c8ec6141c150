import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isolated, until } from '@weir/testkit';
import { auditWindows } from '../support/audit.ts';
import { ScriptedDevice } from '../support/device.ts';
import { hostClock } from '../support/host-clock.ts';
import { startPipeline } from '../support/pipeline.ts';
import type { KnownReading } from '../support/recompute.ts';
import { deadLetters, kafkaLines } from '../support/sinks.ts';

const EVERY_MS = 50;
const STEPS: readonly (readonly [afterMs: number, aheadMs: number])[] = [
  [4_000, 30_000],
  [10_000, -30_000],
  [16_000, 0],
];
const END_MS = 20_000;

test('the host clock is set by 30 s, forth and back: no window changes', { timeout: 600_000 }, async (t) => {
  const space = await isolated(t);
  const clock = hostClock(space);
  const { apps, mqttPort } = await startPipeline(t, { space, env: clock.env });
  /** True time: this process has the clock that nobody sets. */
  const start = Date.now() - performance.now();
  const trueTime = (): number => start + performance.now();

  const stamped = new ScriptedDevice(t, { port: mqttPort, id: 'stamped', qos: 1 });
  const bare = new ScriptedDevice(t, { port: mqttPort, id: 'bare', qos: 1 });
  await Promise.all([stamped.start(), bare.start()]);
  const sentAt: number[] = [];
  const began = performance.now();
  const steps = [...STEPS];
  for (let seq = 0; performance.now() - began < END_MS; seq++) {
    const now = trueTime();
    sentAt.push(now);
    const telemetry = 'telemetry/v1/plant-1';
    stamped.send({
      topic: `${telemetry}/stamped`,
      payload: JSON.stringify({ ts: Math.floor(now), seq, value: seq }),
    });
    bare.send({ topic: `${telemetry}/bare`, payload: JSON.stringify({ seq, value: seq }) });
    const [step] = steps;
    if (step !== undefined && performance.now() - began > step[0]) {
      clock.set(step[1]);
      steps.shift();
    }
    await delay(EVERY_MS);
  }
  await Promise.all([stamped.settled(), bare.settled()]);
  assert.ok(
    apps.edge.logs.some((line) => line.includes('the clock of this host was set')),
    'the edge saw the step',
  );

  const lines = await until(
    async () => {
      const found = await kafkaLines(space);
      return found.length >= 2 * sentAt.length && found;
    },
    { deadlineMs: 30_000, what: 'all lines in Kafka', everyMs: 500 },
  );
  const known: KnownReading[] = [];
  let furthest = 0;
  let hlc = '';
  for (const { envelope } of [...lines].sort((a, b) => a.envelope.n - b.envelope.n)) {
    const { seq, value, ts } = envelope.payload as { seq: number; value: number; ts?: number };
    const late = envelope.at - (sentAt[seq] as number);
    // A busy machine may take its time; the half minute of a step it does not take.
    assert.ok(
      late > -200 && late < 15_000,
      `reading ${seq} of ${envelope.device} arrived ${late} ms after it was sent`,
    );
    furthest = Math.max(furthest, Math.abs(late));
    assert.ok((envelope.hlc as string) > hlc, 'stamps grow');
    hlc = envelope.hlc as string;
    known.push({ device: envelope.device, metric: 'value', ts: ts ?? envelope.at, seq, value });
  }
  assert.equal(known.length, 2 * sentAt.length);
  const windows = await auditWindows(space, known, 60_000);
  assert.deepEqual(await deadLetters(space), []);
  t.diagnostic(`${known.length} readings, ${windows} windows, arrivals within ${Math.round(furthest)} ms`);
});
