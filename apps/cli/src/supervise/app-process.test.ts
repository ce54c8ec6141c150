import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { identify, isSameProcess } from '@weir/infra';
import { AppProcess, type AppProcessOptions } from './app-process.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 20_000; !condition(); await delay(20)) {
    if (Date.now() > end) assert.fail(`${what} did not happen within 20 s`);
  }
}

/** An app that is ready at once and drains on SIGTERM; `more` is further code of it. */
const app = (port: number, more = ''): string => `
  const server = require('node:http').createServer((_, response) => response.end('{"missing":[]}'));
  server.listen(${port}, '127.0.0.1');
  process.on('SIGTERM', () => { console.log('drained'); process.exit(0); });
  ${more}`;

async function supervised(
  t: TestContext,
  script: (port: number) => string,
  over: Partial<AppProcessOptions> = {},
): Promise<AppProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'weir-app-'));
  const port = await freePort();
  const one = new AppProcess({
    name: 'probe',
    args: ['-e', script(port)],
    env: process.env,
    logFile: join(folder, 'logs', 'probe.log'),
    readyUrl: `http://127.0.0.1:${port}/readyz`,
    bound: true,
    onChange: () => {},
    ...over,
  });
  t.after(async () => {
    await one.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return one;
}

test('an app that crashes is started again and counted; a stop drains it', async (t) => {
  const one = await supervised(t, app);
  one.start();
  await until(() => one.state === 'ready', 'ready');
  const first = one.pid as number;
  process.kill(first, 'SIGKILL');
  await until(() => one.state === 'crashed' || one.restarts === 1, 'the crash being seen');
  await until(() => one.state === 'ready' && one.pid !== first, 'ready again');
  assert.equal(one.restarts, 1);
  assert.equal(await one.stop(), 'drained');
  assert.equal(one.pid, undefined);
  assert.equal(readFileSync(one.logFile, 'utf8'), 'drained\n');
});

test('an app that refuses its configuration is not started again', async (t) => {
  const one = await supervised(t, () => 'process.exit(2)');
  one.start();
  await until(() => one.state === 'crashed', 'the end being seen');
  assert.match(one.detail, /configuration is refused/);
  assert.equal(one.restarts, 0);
});

test('an app that does not drain is killed, and that is told', async (t) => {
  const one = await supervised(
    t,
    (port) => `${app(port)}process.removeAllListeners('SIGTERM'); process.on('SIGTERM', () => {});`,
  );
  one.start();
  await until(() => one.state === 'ready', 'ready');
  assert.equal(await one.stop(200), 'killed');
  assert.equal(one.pid, undefined);
});

test('apps die with a supervisor that is killed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-app-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const port = await freePort();
  const pidFile = join(folder, 'pid');
  const module = JSON.stringify(new URL('./app-process.ts', import.meta.url).href);
  const script = app(
    port,
    `require('node:fs').writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));`,
  );
  const supervisor = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const { AppProcess } = await import(${module});
       const one = new AppProcess({ name: 'probe', args: ['-e', ${JSON.stringify(script)}], env: process.env, bound: true,
         logFile: ${JSON.stringify(join(folder, 'probe.log'))}, readyUrl: 'http://127.0.0.1:${port}/', onChange: () => {
           if (one.state === 'ready') process.kill(process.pid, 'SIGKILL');
         } });
       one.start();`,
    ],
    { stdio: 'inherit' },
  );
  const pid = async (): Promise<number> => {
    await until(() => {
      try {
        return readFileSync(pidFile, 'utf8') !== '';
      } catch {
        return false;
      }
    }, 'the app starting');
    return Number(readFileSync(pidFile, 'utf8'));
  };
  const id = identify(await pid());
  assert.ok(id !== undefined);
  await once(supervisor, 'exit');
  assert.equal(supervisor.signalCode, 'SIGKILL');
  await until(() => !isSameProcess(id), 'the app dying');
});

test('without setpriv an app runs all the same', async (t) => {
  let changes = 0;
  const one = await supervised(t, app, { bound: false, onChange: () => changes++ });
  one.start();
  await until(() => one.state === 'ready', 'ready');
  assert.ok(changes > 0, 'the change is told');
});
