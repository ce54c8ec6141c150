import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { parseCredential, verifySecret } from '@weir/reading';
import type { Command } from 'commander';
import { buildProgram } from './program.ts';
import { weir, withEnvironment } from './terminal.fixture.ts';

function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'weir-cli-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

const streams = () => ({ out: new PassThrough(), err: new PassThrough(), env: {} });

function allCommands(command: Command): Command[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

test('every command has a description and --help that ends with 0; every noun shows examples', async () => {
  const program = buildProgram(streams());
  for (const command of allCommands(program).filter(({ parent }) => parent !== null)) {
    const path: string[] = [];
    for (let at: Command | null = command; at?.parent; at = at.parent) path.unshift(at.name());
    const { code, out, err } = await weir(...path, '--help');
    assert.equal(code, 0, path.join(' '));
    assert.equal(err, '');
    assert.match(out, new RegExp(`Usage: weir ${path.join(' ')}`));
    assert.notEqual(command.description(), '', path.join(' '));
    if (path.length === 1) assert.match(out, /Examples:\n {2}\$ .*weir/, path.join(' '));
  }
});

test('everything that prints takes --json', () => {
  const leaves = allCommands(buildProgram(streams())).filter(({ commands }) => commands.length === 0);
  assert.deepEqual(
    leaves.filter((leaf) => !leaf.options.some(({ long }) => long === '--json')).map((leaf) => leaf.name()),
    [],
  );
});

test('wrong usage ends with 2 and a sentence on standard error', async () => {
  for (const args of [
    ['nonsense'],
    ['status', '--nonsense'],
    ['query', 'windows', 'd'],
    ['query', 'windows', 'd', '--metric', 'm', '--level', '7s'],
    ['query', 'views', 'd', '--metric', 'm', '--kind', 'median'],
    ['query', 'anomaly', 'd'],
    ['fleet', 'run', '--qos', '3'],
    ['fleet', 'run', '--devices', 'many'],
    ['fleet', 'run', '--duration', '5'],
    ['device', 'add', 'plant/1', 'd'],
    ['alerts', 'ack', 'x'],
    ['alerts', 'silence', 'plant-1', '--for', '2h', '--why', 'x'],
    ['alerts', 'silence', 'site=plant-1', '--why', 'x'],
    ['alerts', 'remove-rule', 'hot', '--why', 'x'],
    ['archive', 'ls', '--from', 'yesterday'],
    [],
  ]) {
    const { code, out, err } = await weir(...args);
    assert.equal(code, 2, `weir ${args.join(' ')}`);
    assert.equal(out, '');
    assert.notEqual(err, '');
    assert.doesNotMatch(err, /\n\s+at .*\.ts/, 'no stack for a mistake of the user');
  }
});

test('what is not running is said in one sentence, with 1', async (t) => {
  withEnvironment(t, { WEIR_DATA_DIR: folder(t), WEIR_PORTS__OFFSET: '40000' });
  const query = await weir('query', 'devices');
  assert.equal(query.code, 1);
  assert.match(
    query.err,
    /^weir: Asking the gateway at http:\/\/127\.0\.0\.1:48080: .*ECONNREFUSED.*Is Weir running\?/,
  );
  const status = await weir('status', '--json');
  assert.equal(status.code, 1);
  assert.equal(JSON.parse(status.out).state, 'stopped');
  assert.equal((await weir('down')).code, 0, 'stopping what is stopped is no failure');
});

test('a mistake in the configuration is named with the nearest right key, with 2', async (t) => {
  const dir = folder(t);
  const file = join(dir, 'weir.yaml');
  writeFileSync(file, 'edge:\n  anonymus: true\n');
  withEnvironment(t, { WEIR_CONFIG: file, WEIR_DATA_DIR: dir });
  for (const command of [
    ['config', 'check'],
    ['up', '--no-fleet'],
  ]) {
    const { code, err } = await weir(...command);
    assert.equal(code, 2);
    assert.match(err, /edge\.anonymus: no such setting; did you mean "anonymous"\?/);
  }
});

test('the configuration is printed with secrets masked; ports and credentials of the servers are laid over it', async (t) => {
  const dir = folder(t);
  const env = {
    WEIR_TIMESCALE__URL: 'postgres://weir:hidden@127.0.0.1:6432/weir',
    WEIR_PORTS__OFFSET: '1000',
  };
  writeFileSync(join(dir, 'stack.json'), JSON.stringify({ env }));
  withEnvironment(t, { WEIR_DATA_DIR: dir });
  const { code, out } = await weir('config', 'print', '--json');
  assert.equal(code, 0);
  const printed = JSON.parse(out);
  assert.equal(printed.ports.offset, 1000);
  assert.equal(printed.timescale.url, '********');
  assert.doesNotMatch(out, /hidden/);
  const table = await weir('config', 'table', 'edge.limits');
  assert.match(table.out, /^\| setting \| type \| default \| meaning \|\n/);
  assert.match(table.out, /edge\.limits\.packetSize/);
  assert.doesNotMatch(table.out, /kafka\.brokers/);
});

test('credentials in a file: add shows the secret once, list never, revoke needs --yes', async (t) => {
  const dir = folder(t);
  withEnvironment(t, { WEIR_DATA_DIR: dir });
  const file = join(dir, 'devices.jsonl');
  const added = await weir('device', 'add', 'plant-1', 'pump-7', '--file', file, '--json');
  assert.equal(added.code, 0, added.err);
  const { secret, username, topic } = JSON.parse(added.out);
  assert.equal(username, 'pump-7');
  assert.equal(topic, 'telemetry/v1/plant-1/pump-7');
  const line = parseCredential(readFileSync(file, 'utf8').trim());
  assert.ok(typeof line !== 'string');
  assert.equal(await verifySecret(secret, line.hash), true);
  assert.equal(statSync(file).mode & 0o777, 0o600);

  const again = await weir('device', 'add', 'plant-1', 'pump-7', '--file', file);
  assert.equal(again.code, 1);
  assert.match(again.err, /has a credential already \(site plant-1\)\. Use --replace/);
  const replaced = await weir('device', 'add', 'plant-1', 'pump-7', '--file', file, '--replace', '--json');
  assert.notEqual(JSON.parse(replaced.out).secret, secret);

  const listed = await weir('device', 'list', '--file', file, '--json');
  assert.deepEqual(
    JSON.parse(listed.out).map(({ device, site }: { device: string; site: string }) => `${site}/${device}`),
    ['plant-1/pump-7'],
  );
  assert.doesNotMatch(listed.out, /scrypt|secret/);

  const unsure = await weir('device', 'revoke', 'pump-7', '--file', file);
  assert.equal(unsure.code, 1);
  assert.match(unsure.err, /Say --yes/);
  assert.equal((await weir('device', 'revoke', 'pump-7', '--file', file, '--yes')).code, 0);
  assert.match((await weir('device', 'list', '--file', file)).out, /^No device has a credential/);
  assert.match((await weir('device', 'list', '--file', file, '--all')).out, /pump-7 .*revoked 20/);
  assert.equal((await weir('device', 'revoke', 'pump-7', '--file', file, '--yes')).code, 1);
});

test('a damaged credentials file is named with its line, and not overwritten', async (t) => {
  const dir = folder(t);
  withEnvironment(t, { WEIR_DATA_DIR: dir });
  const file = join(dir, 'devices.jsonl');
  writeFileSync(file, '\n{"device":"x"}\n');
  const { code, err } = await weir('device', 'add', 's', 'd', '--file', file);
  assert.equal(code, 1);
  assert.match(err, /devices\.jsonl: line 2 is no credential: "site" is missing/);
  assert.equal(readFileSync(file, 'utf8'), '\n{"device":"x"}\n');
});

test("a problem of the gateway's API becomes its own sentence", async (t) => {
  const server = createServer((_, response) => {
    response.writeHead(404, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ title: 'Not found', detail: 'No reading of device x has been stored.' }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  withEnvironment(t, { WEIR_DATA_DIR: folder(t) });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const { code, err } = await weir('query', 'latest', 'x', '--url', url);
  assert.equal(code, 1);
  assert.equal(
    err,
    'weir: Asking the gateway for /api/v1/devices/x/latest: No reading of device x has been stored.\n',
  );
});
