import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { FleetState } from './state.ts';

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'weir-fleet-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

test('numbers go on where a clean end left them, without a gap', (t) => {
  const file = join(folder(t), 'deep', 'state.json');
  const first = new FleetState(file);
  first.register(['a', 'b']);
  assert.deepEqual([first.nextSeq('a'), first.nextSeq('a'), first.nextSeq('b')], [1, 2, 1]);
  first.setPosition('a', 77);
  first.close();
  const second = new FleetState(file);
  assert.deepEqual([second.nextSeq('a'), second.nextSeq('b')], [3, 2]);
  assert.equal(second.position('a'), 77);
});

test('one write reserves for the whole fleet', (t) => {
  const state = new FleetState(join(folder(t), 'state.json'));
  const names = Array.from({ length: 500 }, (_, i) => `d${i}`);
  state.register(names);
  for (let round = 0; round < 600; round++) for (const name of names) state.nextSeq(name);
  assert.ok(state.writes <= 3, `${state.writes} writes for 300,000 numbers`);
});

test('a fleet that is killed skips numbers and never repeats one', async (t) => {
  const dir = folder(t);
  const file = join(dir, 'state.json');
  const module = JSON.stringify(new URL('./state.ts', import.meta.url).href);
  const script = `
    const { FleetState } = await import(${module});
    const state = new FleetState(${JSON.stringify(file)});
    state.register(['a', 'b']);
    let lines = '';
    for (let i = 0; i < 1500; i++) lines += state.nextSeq('a') + ' ' + state.nextSeq('b') + '\\n';
    process.stdout.write(lines, () => process.kill(process.pid, 'SIGKILL'));
  `;
  const seen = { a: new Set<number>(), b: new Set<number>() };
  for (let life = 0; life < 3; life++) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
    });
    const [, signal] = await once(child, 'close');
    assert.equal(signal, 'SIGKILL');
    for (const line of text.trim().split('\n')) {
      const [a = 0, b = 0] = line.split(' ').map(Number);
      assert.ok(!seen.a.has(a) && !seen.b.has(b), `${line} came twice`);
      seen.a.add(a);
      seen.b.add(b);
    }
  }
  assert.equal(seen.a.size, 4500);
});

test('a damaged file stops the start instead of beginning at 1 again', (t) => {
  const dir = folder(t);
  const file = join(dir, 'state.json');
  writeFileSync(file, '{"next": {"a": 12');
  assert.throws(() => new FleetState(file), /damaged. Delete it to start over/);
  assert.deepEqual(readdirSync(dir), ['state.json']);
});
