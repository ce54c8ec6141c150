import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { WeirError } from '@weir/flow';
import { until } from '@weir/testkit';
import { PORTS } from '@weir/topology';
import { newCredentials, writePrivate } from './credentials.ts';
import { isPortFree } from './ports.ts';
import { childrenOf, familyOf, identify, isSameProcess, type ProcessId } from './proc.ts';
import { SERVER_NAMES, SERVERS } from './servers/index.ts';
import { NativeStack } from './stack.ts';
import { counts, fill } from './testing/content.ts';

const SERVER_PORTS = SERVER_NAMES.flatMap((name) => SERVERS[name].ports.map((port) => PORTS[port]));
const dataDir = mkdtempSync(join(tmpdir(), 'weir-native-'));
let offset = 0;
let stack: NativeStack;
let mountsBefore = '';
const notes: string[] = [];

async function freeServerOffset(): Promise<number> {
  for (let candidate = 3_000; candidate < 17_000; candidate += 101) {
    const free = await Promise.all(SERVER_PORTS.map((port) => isPortFree(port + candidate)));
    if (free.every(Boolean)) return candidate;
  }
  throw new Error('no offset at which every server port is free');
}

const newStack = (supervised: boolean) =>
  new NativeStack({
    dataDir,
    portOffset: offset,
    supervised,
    onProgress: ({ state, line }) => {
      if (state === 'note' && line !== undefined) notes.push(line);
    },
  });

async function startHolder(mode: 'supervised' | 'detached'): Promise<ChildProcess> {
  const script = join(import.meta.dirname, 'testing', 'hold-stack.ts');
  const holder = spawn(process.execPath, [script, dataDir, String(offset), mode], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await Promise.race([
    once(holder.stdout!, 'data'),
    once(holder, 'exit').then(() => assert.fail('the starter ended before the servers were up')),
  ]);
  return holder;
}

/** Every process of the stack: the servers with all that they started, and their outer helpers. */
function stackProcesses(): ProcessId[] {
  const servers = SERVER_NAMES.map((name) => stack.pid(name)).filter((pid) => pid !== undefined);
  const wrappers = servers.map((pid) =>
    Number(/PPid:\t(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]),
  );
  return [...wrappers, ...servers.flatMap(familyOf)].map(identify).filter((id) => id !== undefined);
}

async function assertNothingLeft(processes: readonly ProcessId[]): Promise<void> {
  assert.ok(processes.length >= SERVER_NAMES.length * 2);
  await until(() => processes.every((id) => !isSameProcess(id)), {
    deadlineMs: 30_000,
    what: 'no process to be left',
  });
  for (const port of SERVER_PORTS)
    assert.ok(await isPortFree(port + offset), `port ${port + offset} is still taken`);
  assert.equal(readFileSync('/proc/mounts', 'utf8'), mountsBefore);
}

const all = (n: number) => Object.fromEntries(SERVER_NAMES.map((name) => [name, n]));

before(async () => {
  offset = await freeServerOffset();
  // One random cluster id in 64 begins with a dash; Kafka's tool once took it for an option.
  const credentials = newCredentials();
  const kafkaClusterId = `-${credentials.kafkaClusterId.slice(1)}`;
  writePrivate(join(dataDir, 'credentials.json'), { ...credentials, kafkaClusterId });
  stack = newStack(true);
  mountsBefore = readFileSync('/proc/mounts', 'utf8');
});
after(async () => {
  await stack.stop();
  rmSync(dataDir, { recursive: true, force: true });
});

test('kill -9 of the starter takes every server along and leaves no process, mount or port', async () => {
  const holder = await startHolder('supervised');
  for (const server of await stack.status()) assert.equal(server.state, 'ready', server.reason);
  assert.equal(statSync(join(dataDir, 'stack.json')).mode & 0o777, 0o600);
  assert.equal(readFileSync('/proc/mounts', 'utf8'), mountsBefore);
  await fill(stack, 'first');
  assert.deepEqual(await counts(stack), all(1));
  const processes = stackProcesses();
  holder.kill('SIGKILL');
  await once(holder, 'exit');
  await assertNothingLeft(processes);
});

test('the next start needs no cleaning up and finds what was acknowledged', async () => {
  await stack.start();
  assert.deepEqual(await counts(stack), all(1));
  await fill(stack, 'second');
});

test('nothing listens beyond the loopback address', () => {
  const ports = new Set(SERVER_PORTS.map((port) => port + offset));
  const rows = [readFileSync('/proc/net/tcp', 'utf8'), readFileSync('/proc/net/tcp6', 'utf8')]
    .flatMap((text) => text.split('\n').slice(1))
    .map((line) => line.trim().split(/\s+/))
    .filter(
      (columns) => columns[3] === '0A' && ports.has(Number.parseInt(columns[1]?.split(':')[1] ?? '', 16)),
    );
  assert.ok(rows.length >= ports.size);
  const loopback = ['0100007F', '0000000000000000FFFF00000100007F', '00000000000000000000000001000000'];
  for (const [, address] of rows) assert.ok(loopback.includes(address?.split(':')[0] ?? ''), address);
});

test('another process is refused while this one drives the data folder', async () => {
  await assert.rejects(newStack(true).start(), (error) => {
    assert.ok(error instanceof WeirError);
    assert.match(error.message, new RegExp(`process ${process.pid}, which still lives`));
    return true;
  });
});

for (const name of SERVER_NAMES) {
  test(`${name} can be killed and comes back with its data`, async () => {
    const former = stack.pid(name)!;
    const children = childrenOf(former).map(identify);
    await stack.kill(name, 'SIGKILL');
    assert.equal(stack.pid(name), undefined);
    for (const child of children)
      assert.ok(child === undefined || !isSameProcess(child), 'a part outlived its server');
    await stack.start([name]);
    assert.notEqual(stack.pid(name), former);
    assert.deepEqual(await counts(stack), all(2));
  });

  test(`${name} can be frozen and goes on where it was`, async () => {
    const pid = stack.pid(name);
    const stateOf = async () => (await stack.status()).find((server) => server.name === name)?.state;
    await stack.kill(name, 'SIGSTOP');
    assert.equal(await stateOf(), 'starting');
    await stack.kill(name, 'SIGCONT');
    await until(async () => (await stateOf()) === 'ready', {
      deadlineMs: 60_000,
      what: `${name} to answer again`,
    });
    assert.equal(stack.pid(name), pid);
  });
}

test('stop ends everything in order', async () => {
  const processes = stackProcesses();
  await stack.stop();
  await assertNothingLeft(processes);
});

test('a busy port is named with its holder and the way out', async (t) => {
  const server = createServer();
  server.listen(PORTS.kafka + offset, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  await assert.rejects(newStack(true).start(), (error) => {
    assert.ok(error instanceof WeirError);
    assert.equal(error.code, 'WEIR_PORT_BUSY');
    assert.match(
      error.message,
      new RegExp(`Port ${PORTS.kafka + offset}, which Kafka needs, .* process ${process.pid} `),
    );
    assert.match(error.message, /WEIR_PORTS__OFFSET=1000/);
    return true;
  });
});

test('a detached stack outlives its starter, is adopted by the next one and replaced by a supervised one', async () => {
  const holder = await startHolder('detached');
  if (holder.exitCode === null) await once(holder, 'exit');
  const pids = SERVER_NAMES.map((name) => stack.pid(name));
  const detached = newStack(false);
  await detached.start();
  assert.deepEqual(
    SERVER_NAMES.map((name) => detached.pid(name)),
    pids,
  );
  assert.equal(notes.filter((note) => note.includes('going on with it')).length, SERVER_NAMES.length);
  const processes = stackProcesses();
  stack = newStack(true);
  await stack.start();
  assert.equal(notes.filter((note) => note.includes('stopping it first')).length, SERVER_NAMES.length);
  assert.ok(processes.every((id) => !isSameProcess(id)));
  assert.deepEqual(await counts(stack), all(2));
});
