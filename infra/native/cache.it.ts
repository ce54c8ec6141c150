import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { until } from '@weir/testkit';
import { cached, cacheRoot, mountsBelow } from './cache.ts';
import { commandOf, familyOf, identify, isSameProcess } from './proc.ts';
import { run } from './run.ts';

const home = mkdtempSync(join(tmpdir(), 'weir-cache-it-'));
const before = process.env.XDG_CACHE_HOME;
process.env.XDG_CACHE_HOME = home;
after(() => {
  if (before === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = before;
  assert.deepEqual(mounts(), [], 'a mount was left: the folder is not removed');
  rmSync(home, { recursive: true, force: true });
});
const mounts = (): string[] => mountsBelow(home, readFileSync('/proc/self/mounts', 'utf8'));

test('a stale mount of an interrupted build is unmounted, not emptied', async () => {
  const kept = join(home, 'kept');
  const stale = join(cacheRoot(), '.thing-1.4711', 'dev with space');
  for (const folder of [kept, stale]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(kept, 'file'), 'kept');
  await run('mount', ['--bind', kept, stale], { what: 'Mounting', wayOut: '' });
  assert.deepEqual(mounts(), [stale]);
  await cached({ key: 'thing-1', what: 'a thing', build: async () => {} });
  assert.deepEqual(mounts(), []);
  assert.deepEqual(readdirSync(cacheRoot()).sort(), ['thing-1', 'thing-1.lock']);
  assert.equal(readFileSync(join(kept, 'file'), 'utf8'), 'kept');
});

test('kill -9 while a Debian folder is built leaves no process and no mount', async () => {
  const script = `const { provisionExtras } = await import(${JSON.stringify(join(import.meta.dirname, 'index.ts'))});
    await provisionExtras();`;
  const starter = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const family = () => familyOf(starter.pid!);
  // Once packages are unpacked the tool has mounted /proc, /sys and /dev into its folder.
  await until(() => family().some((pid) => /^dpkg /.test(commandOf(pid))), {
    deadlineMs: 120_000,
    everyMs: 20,
    what: 'dpkg to run in the new folder',
  });
  assert.deepEqual(mounts(), []);
  const processes = family()
    .map(identify)
    .filter((id) => id !== undefined);
  assert.ok(processes.length > 3);
  starter.kill('SIGKILL');
  await once(starter, 'exit');
  await until(() => processes.every((id) => !isSameProcess(id)), {
    deadlineMs: 30_000,
    what: 'no process to be left',
  });
  assert.deepEqual(mounts(), []);
});
