import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { PORTS } from '@weir/topology';
import { loadCredentials } from './credentials.ts';
import { serverEnvironment } from './environment.ts';
import { namespaceScript } from './launch.ts';
import { portBusyMessage, requireOffset } from './ports.ts';
import { availableMemory, requireDisk, requireMemory } from './resources.ts';
import { run } from './run.ts';

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'weir-parts-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('credentials are random, private, and the same at the next start', (t) => {
  const first = loadCredentials(temporary(t));
  const folder = temporary(t);
  const second = loadCredentials(folder);
  assert.notDeepEqual(first, second);
  assert.deepEqual(loadCredentials(folder), second);
  assert.equal(statSync(join(folder, 'credentials.json')).mode & 0o777, 0o600);
  assert.equal(second.kafkaClusterId.length, 22);
});

test('damaged credentials are named, never replaced', (t) => {
  const folder = temporary(t);
  const path = join(folder, 'credentials.json');
  writeFileSync(path, '{"postgres":');
  assert.throws(() => loadCredentials(folder), /credentials\.json is damaged/);
  assert.equal(readFileSync(path, 'utf8'), '{"postgres":');
});

test('the environment moves with the offset and holds the credentials', (t) => {
  const credentials = loadCredentials(temporary(t));
  const env = serverEnvironment(credentials, 1_000);
  assert.equal(env.WEIR_PORTS__OFFSET, '1000');
  assert.equal(env.WEIR_KAFKA__BROKERS, `127.0.0.1:${PORTS.kafka + 1_000}`);
  const rabbitmq = new URL(env.WEIR_RABBITMQ__URL ?? '');
  assert.equal(rabbitmq.password, credentials.rabbitmq.password);
  assert.equal(rabbitmq.pathname, '/weir');
  assert.equal(Number(rabbitmq.port), PORTS.rabbitmq + 1_000);
});

test('stacks at the offsets 0, 1000, 12000 and 20000 share no port', () => {
  const ports = [0, 1_000, 12_000, 20_000].flatMap((offset) =>
    Object.values(PORTS).map((port) => port + offset),
  );
  assert.equal(new Set(ports).size, ports.length);
});

test('a busy port names itself, its server, its holder and the way out', () => {
  const use = { port: 9092, owner: 'Kafka' };
  const message = portBusyMessage(use, { pid: 7, command: 'nc -l 9092' });
  assert.match(message, /Port 9092, which Kafka needs, is taken by process 7 \(nc -l 9092\)/);
  assert.match(message, /WEIR_PORTS__OFFSET=1000/);
  assert.match(portBusyMessage(use, undefined), /could not be found/);
});

test('an offset that leaves the range of ports is refused', () => {
  requireOffset(20_000);
  for (const offset of [-1, 60_000, 1.5, Number.NaN])
    assert.throws(() => requireOffset(offset), /not usable/);
});

test('too little memory or disk is a sentence with figures', () => {
  const available = availableMemory('MemTotal:  8000000 kB\nMemAvailable:    1048576 kB\n');
  assert.equal(available, 2 ** 30);
  assert.throws(() => requireMemory(1, available), /need 3\.0 GiB of free memory and 1\.0 GiB is available/);
  requireMemory(1, 4 * 2 ** 30);
  requireMemory(1 / 5, available);
  assert.throws(() => requireDisk('/data', 5, 2 ** 30), /\/data needs 5 GiB of free disk and has 1\.0 GiB/);
  requireDisk('/data/not/yet/there', 0);
});

test('paths with spaces and quotes reach the namespace whole', async () => {
  const script = namespaceScript({ env: { A: "it's" }, command: ['/bin/echo', "a 'b' $c"] });
  const printed = await run(
    'sh',
    ['-c', script.replace(/^mount .*$/m, '').replace(/^exec setpriv .*? env/m, 'exec env')],
    {
      what: 'Echo',
      wayOut: '',
    },
  );
  assert.equal(printed, "a 'b' $c");
});

test('a failed tool says what was being done, its last words and the way out', async () => {
  const failing = run('sh', ['-c', 'echo one; echo two >&2; exit 3'], {
    what: 'Building X',
    wayOut: 'Install Y.',
  });
  await assert.rejects(failing, (error: Error) => {
    assert.match(error.message, /^Building X failed \(sh: exit code 3\)\./);
    assert.match(error.message, / {4}two/);
    assert.match(error.message, /Install Y\.$/);
    return true;
  });
  await assert.rejects(run('no-such-tool', [], { what: 'X', wayOut: 'Y' }), /No such file|ENOENT/);
});
