import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { madeReport } from '../report/report.fixture.ts';
import { limitByFigures } from './limit.ts';
import { planCapacity } from './plan.ts';
import { nextFactor, type Step } from './search.ts';

test('the search finds the limit of any pipeline as exactly as it was asked to, and ends', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.01, max: 500, noNaN: true }),
      fc.double({ min: 0.02, max: 0.5, noNaN: true }),
      (limit, precision) => {
        const steps: Step[] = [];
        for (;;) {
          const factor = nextFactor(steps, 1, precision);
          if (factor === null) break;
          steps.push({ factor, passed: factor <= limit });
          assert.ok(steps.length < 40);
        }
        const best = Math.max(...steps.filter(({ passed }) => passed).map(({ factor }) => factor));
        assert.ok(best <= limit && best * (1 + precision) >= limit, `${best} of ${limit}`);
      },
    ),
  );
});

test("a plan follows Little's law and what a reading costs", () => {
  const report = madeReport();
  const plan = planCapacity(report, { devices: 100_000, rate: 1, metrics: 1 });
  assert.equal(plan.readingsPerSecond, 100_000);
  assert.equal(plan.inFlight.edge, Math.ceil(100_000 * ((report.ackMs?.mean ?? 0) / 1_000)));
  // 10 µs a reading: one whole core for 100,000 a second, of which 70 % are planned.
  assert.equal(plan.consumers, 2);
  assert.equal(plan.edges, 7); // by connections
  assert.equal(plan.partitions, 12);
  assert.ok(Math.abs(plan.cores - 2 / 0.7) < 0.01);
  assert.equal(plan.bytesPerDay.archive, 30 * 100_000 * 86_400);
});

test('without a named hop the figures name what limits', () => {
  const slow = madeReport({ senderCpuSeconds: 58 });
  assert.match(limitByFigures(slow), /^the senders/);
  const [edge, ...others] = madeReport().processes;
  const busy = madeReport({ processes: [{ ...edge, cpuSeconds: 57 } as never, ...others] });
  assert.match(limitByFigures(busy), /^edge: its process is busy 9\d %/);
  assert.match(limitByFigures(madeReport({ settle: { windows: 40, archive: null } })), /^the windows/);
});
