import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Spool } from './spool.ts';

const open = (dir: string): Promise<Spool> =>
  Spool.open({
    dir,
    maxBytes: 1 << 20,
    segmentBytes: 1 << 16,
    memoryBytes: 1 << 16,
    whenFull: 'block',
    onFatal: (error) => assert.fail(error),
  });
const IN_USE = /another edge is using .*Stop it, or give this one its own edge\.spool\.dir/;

function folder(t: { after(fn: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'weir-lock-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

test('a folder has one spool at a time; the lock of a killed process is taken over', async (t) => {
  const dir = folder(t);
  const holder = spawn(process.execPath, [join(import.meta.dirname, 'lock.fixture.ts'), dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  await assert.rejects(open(dir), IN_USE);
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  const spool = await open(dir);
  await assert.rejects(open(dir), IN_USE);
  await spool.close();
  await (await open(dir)).close();
});

test('a damaged lock file does not keep a spool closed', async (t) => {
  const dir = folder(t);
  await (await open(dir)).close();
  writeFileSync(join(dir, 'lock', 'CURRENT'), 'no manifest');
  await (await open(dir)).close();
});
