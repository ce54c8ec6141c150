import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createLogger, Metrics } from '@weir/observe';
import { type DeviceCredential, formatCredential, GENERATED_SECRET_COST, hashSecret } from '@weir/reading';
import { EdgeEvents } from '../events.ts';
import { Credentials } from './credentials.ts';
import { fileSource } from './file-source.ts';

const SECRET = 'right';
const events = () =>
  new EdgeEvents(createLogger({ app: 'edge', level: 'fatal', format: 'json' }), new Metrics('edge'));
const device = async (name: string, secret = SECRET): Promise<DeviceCredential> => ({
  device: name,
  site: 'plant',
  hash: await hashSecret(secret, GENERATED_SECRET_COST),
  publish: [],
  subscribe: [],
  createdAt: new Date(0).toISOString(),
  revokedAt: null,
});

async function devicesFile(t: { after(fn: () => Promise<void>): void }): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'weir-auth-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return join(dir, 'devices.jsonl');
}

test('the right secret, a wrong one, an unknown device, a revoked one', async (t) => {
  const file = await devicesFile(t);
  const revoked = { ...(await device('gone')), revokedAt: new Date().toISOString() };
  await writeFile(file, `${formatCredential(await device('d1'))}\n${formatCredential(revoked)}\n`);
  const credentials = new Credentials(fileSource(file), events());
  await credentials.refresh();
  const login = async (name: string, secret: string) => {
    const found = await credentials.login(name, Buffer.from(secret));
    return found.ok ? 'ok' : found.reason;
  };
  assert.equal(await login('d1', SECRET), 'ok');
  assert.equal(await login('d1', 'wrong'), 'wrong-secret');
  assert.equal(await login('d1', SECRET), 'ok');
  assert.equal(await login('who', SECRET), 'unknown');
  assert.equal(await login('gone', SECRET), 'revoked');
});

test('a second login of a device costs no hashing', async (t) => {
  const file = await devicesFile(t);
  const costly = { ...(await device('d1')), hash: await hashSecret(SECRET, { N: 1 << 15, r: 8, p: 1 }) };
  await writeFile(file, formatCredential(costly));
  const credentials = new Credentials(fileSource(file), events());
  await credentials.refresh();
  const time = async (count: number): Promise<number> => {
    const cpu = process.cpuUsage();
    for (let i = 0; i < count; i++)
      assert.equal((await credentials.login('d1', Buffer.from(SECRET))).ok, true);
    return process.cpuUsage(cpu).user;
  };
  const first = await time(1);
  assert.ok((await time(20)) < first, 'twenty remembered logins cost more than one hash');
});

test('a source that is away: the last known credentials go on working, and it is noticed when it is back', async () => {
  let answer: readonly DeviceCredential[] | Error = new Error('away');
  const source = {
    name: 'test source',
    read: async () => {
      if (answer instanceof Error) throw answer;
      return { credentials: answer, problems: [] };
    },
    close: async () => {},
  };
  const credentials = new Credentials(source, events());
  await credentials.refresh();
  assert.match(String(credentials.ready), /test source/);
  assert.deepEqual(await credentials.login('d1', Buffer.from(SECRET)), { ok: false, reason: 'unavailable' });
  const d1 = await device('d1');
  answer = [d1];
  await credentials.refresh();
  answer = new Error('away again');
  await credentials.refresh();
  assert.equal(credentials.ready, true);
  assert.equal((await credentials.login('d1', Buffer.from(SECRET))).ok, true);

  const changed: string[] = [];
  credentials.onChanged = (devices) => changed.push(...devices);
  answer = [await device('d1', 'new')];
  await credentials.refresh();
  assert.deepEqual(changed, ['d1']);
  assert.equal((await credentials.login('d1', Buffer.from(SECRET))).ok, false);
  assert.equal((await credentials.login('d1', Buffer.from('new'))).ok, true);
});

test('a bad line in the file is skipped; the others work', async (t) => {
  const file = await devicesFile(t);
  await writeFile(file, `{"device":\n{"device":"a/b"}\n\n${formatCredential(await device('d1'))}\n`);
  const source = fileSource(file);
  const found = await source.read();
  assert.deepEqual(
    found?.credentials.map(({ device: name }) => name),
    ['d1'],
  );
  assert.equal(found?.problems.length, 2);
  assert.equal(await source.read(), null);
});
