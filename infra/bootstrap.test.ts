import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { until } from '@weir/testkit';

const COMMAND_LINE = `
const [mode, ...rest] = process.argv.slice(2);
let signals = 0;
process.on('SIGINT', () => { signals += 1; console.log('SIGINT', signals); });
process.on('SIGTERM', () => { console.log('SIGTERM'); process.exit(7); });
console.log('args', JSON.stringify([mode, ...rest]));
if (mode === 'up') setInterval(() => {}, 1000);
else process.exit(Number(rest[0] ?? 0));
`;

/** A checkout whose only dependency is a local package that provides the Node of the project; needs no network. */
function checkout(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-bootstrap-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const write = (path: string, content: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  };
  write('package.json', JSON.stringify({ name: 'x', version: '1.0.0', dependencies: { node: 'file:node' } }));
  write('node/package.json', JSON.stringify({ name: 'node', version: '1.0.0', bin: { node: 'run.sh' } }));
  write('node/run.sh', `#!/bin/sh\nexec ${process.execPath} "$@"\n`);
  chmodSync(join(folder, 'node/run.sh'), 0o755);
  write(
    'package-lock.json',
    JSON.stringify({
      name: 'x',
      version: '1.0.0',
      lockfileVersion: 3,
      packages: {
        '': { name: 'x', version: '1.0.0', dependencies: { node: 'file:node' } },
        node: { version: '1.0.0', bin: { node: 'run.sh' } },
        'node_modules/node': { resolved: 'node', link: true },
      },
    }),
  );
  write('apps/cli/src/main.ts', COMMAND_LINE);
  mkdirSync(join(folder, 'infra'));
  copyFileSync(join(import.meta.dirname, 'bootstrap.mjs'), join(folder, 'infra/bootstrap.mjs'));
  return folder;
}

interface Run {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly err: () => string;
  readonly ended: Promise<number | null>;
}

function bootstrap(folder: string, ...args: string[]): Run {
  const child = spawn(process.execPath, [join(folder, 'infra/bootstrap.mjs'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  const ended = once(child, 'close').then(([code]) => code as number | null);
  return { child, out: () => out, err: () => err, ended };
}

test('installs once, again after the lockfile changed, and passes arguments and exit code on', async (t) => {
  const folder = checkout(t);
  const first = bootstrap(folder, 'query', '3');
  assert.equal(await first.ended, 3, first.err());
  assert.match(first.err(), /Installing the dependencies.*\n.*installed in \d+ s/);
  assert.equal(first.out(), 'args ["query","3"]\n');
  const second = bootstrap(folder, 'query');
  assert.equal(await second.ended, 0);
  assert.equal(second.err(), '');
  const change = (file: string, edit: (content: { packages: object; dependencies: object }) => void) => {
    const content = JSON.parse(readFileSync(join(folder, file), 'utf8'));
    edit(content);
    writeFileSync(join(folder, file), JSON.stringify(content));
  };
  const extra = { version: '1.0.0', integrity: 'sha512-x' };
  change('package-lock.json', ({ packages }) => Object.assign(packages, { 'node_modules/other': extra }));
  const again = bootstrap(folder, 'query');
  assert.equal(await again.ended, 0);
  assert.match(again.err(), /installed in/);
  change('package.json', ({ dependencies }) => Object.assign(dependencies, { unlocked: 'file:nowhere' }));
  change('package-lock.json', ({ packages }) => Object.assign(packages, { 'node_modules/third': extra }));
  const third = bootstrap(folder, 'query');
  assert.equal(await third.ended, 1);
  assert.match(third.err(), /Installing the dependencies failed \(exit code 1\)/);
  assert.match(third.err(), /npm ping/);
});

test('a lock of a dead process is taken over, and two starts at once install one time', async (t) => {
  const folder = checkout(t);
  mkdirSync(join(folder, '.weir'));
  writeFileSync(join(folder, '.weir/install.lock'), '999999 1');
  const runs = [bootstrap(folder, 'a'), bootstrap(folder, 'b')];
  for (const run of runs) assert.equal(await run.ended, 0, run.err());
  assert.equal(runs.filter((run) => run.err().includes('installed in')).length, 1);
  assert.equal(existsSync(join(folder, '.weir/install.lock')), false);
});

test('Ctrl-C that arrives twice reaches the command once, and a killed start lets it stop in order', async (t) => {
  const folder = checkout(t);
  const run = bootstrap(folder, 'up', '--foreground');
  await until(() => run.out().includes('args'), { deadlineMs: 20_000, what: 'the command to run' });
  run.child.kill('SIGINT');
  run.child.kill('SIGINT');
  await until(() => run.out().includes('SIGINT 1'), {
    deadlineMs: 20_000,
    what: 'the command to hear SIGINT',
  });
  assert.doesNotMatch(run.out(), /SIGINT 2/);
  run.child.kill('SIGKILL');
  await run.ended;
  assert.match(run.out(), /SIGTERM/);
});

test('--run hands over to another program', async (t) => {
  const folder = checkout(t);
  writeFileSync(
    join(folder, 'other.ts'),
    'console.log("other", ...process.argv.slice(2)); process.exitCode = 4;',
  );
  const run = bootstrap(folder, '--run', 'other.ts', 'unit');
  assert.equal(await run.ended, 4, run.err());
  assert.equal(run.out(), 'other unit\n');
});

test('the exit code of a command stopped by SIGTERM is passed on', async (t) => {
  const folder = checkout(t);
  const run = bootstrap(folder, 'up');
  await until(() => run.out().includes('args'), { deadlineMs: 20_000, what: 'the command to run' });
  run.child.kill('SIGTERM');
  assert.equal(await run.ended, 7);
});
