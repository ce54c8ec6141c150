import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { type Build, cached, cacheRoot } from './cache.ts';
import { takeLock } from './lock.ts';
import type { Progress } from './run.ts';

let home = '';
const before = process.env.XDG_CACHE_HOME;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'weir-cache-'));
  process.env.XDG_CACHE_HOME = home;
});
afterEach(() => {
  if (before === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = before;
  rmSync(home, { recursive: true, force: true });
});

function writing(text: string, count: { builds: number }): Build {
  return {
    key: 'thing-1',
    what: 'a thing',
    async build(folder, onLine) {
      count.builds += 1;
      onLine('half way');
      writeFileSync(join(folder, 'file'), text);
    },
  };
}

test('two provisioners at once build one time', async () => {
  const count = { builds: 0 };
  const progress: Progress[] = [];
  const build = writing('x', count);
  const folders = await Promise.all([cached(build, (p) => progress.push(p)), cached(build), cached(build)]);
  assert.equal(count.builds, 1);
  assert.deepEqual(new Set(folders).size, 1);
  assert.equal(readFileSync(join(folders[0]!, 'file'), 'utf8'), 'x');
  assert.equal(progress.at(0)?.state, 'started');
  assert.equal(progress.at(-1)?.state, 'done');
});

test('a failed build leaves nothing, and what a killed one left is removed', async () => {
  mkdirSync(join(cacheRoot(), '.thing-1.4711', 'half'), { recursive: true });
  const failing: Build = {
    ...writing('x', { builds: 0 }),
    build: async () => Promise.reject(new Error('no network')),
  };
  await assert.rejects(cached(failing), /no network/);
  assert.deepEqual(readdirSync(cacheRoot()), ['thing-1.lock']);
  await cached(writing('x', { builds: 0 }));
  assert.deepEqual(readdirSync(cacheRoot()).sort(), ['thing-1', 'thing-1.lock']);
});

test('a living holder is named; a killed holder leaves no lock behind', async () => {
  const path = join(home, 'lock');
  const options = { waitMs: 300, busy: (holder: string) => `held by ${holder}` };
  const script = `const { takeLock } = await import(${JSON.stringify(join(import.meta.dirname, 'lock.ts'))});
    await takeLock(${JSON.stringify(path)}, { waitMs: 1000, busy: () => '' });
    console.log('held'); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  await assert.rejects(takeLock(path, options), new RegExp(`held by ${holder.pid}`));
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const lock = await takeLock(path, { ...options, waitMs: 5_000 });
  await lock.release();
  await (await takeLock(path, options)).release();
});
