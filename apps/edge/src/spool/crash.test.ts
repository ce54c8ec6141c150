import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Spool } from './spool.ts';

test('a process whose fsync fails exits without an acknowledgement, and its restart has what it acknowledged', async (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'weir-spool-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const run = spawnSync(process.execPath, [join(import.meta.dirname, 'crash.fixture.ts'), dir], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.equal(run.status, 1, run.stderr);
  assert.equal(run.stdout, 'acknowledged 0\nacknowledged 1\nacknowledged 2\n');
  assert.match(run.stderr, /writing the spool: EIO.*Check the disk/);

  const spool = await Spool.open({
    dir,
    maxBytes: 1 << 20,
    segmentBytes: 1 << 16,
    memoryBytes: 1 << 16,
    whenFull: 'block',
    onFatal: (error) => assert.fail(error),
  });
  const records = await spool.reader('kafka').next(10_000, new AbortController().signal);
  const texts = records.map(({ body }) => body.toString());
  assert.deepEqual(texts.slice(0, 3), ['reading 0', 'reading 1', 'reading 2']);
  await spool.close();
});
