import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { CpuMeter, microsecondsEach, peakMemory } from './proc.ts';

/** Takes 0.3 s of CPU in a process below the one that is named, says so and waits. */
const BURN = `
const { execFileSync } = require('node:child_process');
execFileSync(process.execPath, ['-e', 'while (process.cpuUsage().user < 300_000);']);
process.stdout.write('done');
process.stdin.resume();`;

test('CPU time of a process counts with that of its children, also when they have ended', async () => {
  const child = spawn(process.execPath, ['-e', BURN], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    const roots = new Map([['burner', child.pid ?? 0]]);
    const meter = new CpuMeter(roots);
    await once(child.stdout, 'data');
    const use = meter.read();
    assert.ok((use.seconds.burner ?? 0) >= 0.3, `${use.seconds.burner} s`);
    assert.ok(use.busy > 0 && use.busy <= 1.05, `${use.busy} of the machine`);
    assert.ok(use.foreign >= 0 && use.foreign < 1, `${use.foreign} of others`);
    assert.equal(microsecondsEach(use, 1_000).burner, (use.seconds.burner ?? 0) * 1_000);
    const { burner = 0 } = peakMemory(roots);
    assert.ok(burner > 20 && burner < 1_000, `${burner} MiB`);
  } finally {
    child.kill('SIGKILL');
  }
});

test('a process that is gone has no figures', () => {
  const gone = new Map([['gone', 2 ** 22]]);
  assert.deepEqual(new CpuMeter(gone).read().seconds, { gone: 0 });
  assert.deepEqual(peakMemory(gone), { gone: 0 });
});
