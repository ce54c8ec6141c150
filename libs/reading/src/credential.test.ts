import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type DeviceCredential,
  formatCredential,
  GENERATED_SECRET_COST,
  generateSecret,
  hashSecret,
  isSecretHash,
  parseCredential,
  verifySecret,
} from './credential.ts';

const cheap = GENERATED_SECRET_COST;

test('a secret verifies against its own hash and no other does', async () => {
  const secret = generateSecret();
  assert.match(secret, /^[A-Za-z0-9_-]{32}$/);
  const hash = await hashSecret(secret, cheap);
  assert.match(hash, /^scrypt\$1024\$8\$1\$[\w-]{22}\$[\w-]{43}$/);
  assert.equal(await verifySecret(secret, hash), true);
  assert.equal(await verifySecret(`${secret} `, hash), false);
  assert.equal(await verifySecret('', hash), false);
  assert.notEqual(await hashSecret(secret, cheap), hash, 'every hash has a salt of its own');
});

test('the default cost is the dearer one', async () => {
  const hash = await hashSecret('chosen by a person');
  assert.match(hash, /^scrypt\$16384\$/);
  assert.equal(await verifySecret('chosen by a person', hash), true);
});

test('a damaged or costly hash lets nobody in and never throws', async () => {
  const good = await hashSecret('s', cheap);
  const [, , , , salt, key] = good.split('$');
  const damaged = [
    '',
    'plain',
    good.slice(0, -40),
    `scrypt$1000$8$1$${salt}$${key}`,
    `scrypt$${2 ** 30}$8$1$${salt}$${key}`,
    `scrypt$1024$0$1$${salt}$${key}`,
    `scrypt$1024$8$1$${salt}$`,
    `scrypt$1024$8$1$${salt}$ü`,
    `bcrypt$1024$8$1$${salt}$${key}`,
  ];
  for (const hash of damaged) {
    assert.equal(isSecretHash(hash), false, hash);
    assert.equal(await verifySecret('s', hash), false, hash);
  }
  await fc.assert(fc.asyncProperty(fc.string(), async (text) => (await verifySecret('s', text)) === false));
});

test('a credential line round-trips; a wrong one is explained', async () => {
  const credential: DeviceCredential = {
    device: 'machine-1',
    site: 'plant-1',
    hash: await hashSecret('s', cheap),
    publish: [],
    subscribe: ['broadcast/v1/#'],
    createdAt: '2026-01-01T00:00:00.000Z',
    revokedAt: null,
  };
  assert.deepEqual(parseCredential(formatCredential(credential)), credential);
  assert.match(String(parseCredential('{')), /not JSON/);
  assert.match(String(parseCredential('null')), /not a JSON object/);
  for (const field of ['device', 'site', 'hash'] as const) {
    assert.match(
      String(parseCredential(JSON.stringify({ ...credential, [field]: undefined }))),
      new RegExp(field),
    );
  }
  assert.match(String(parseCredential(JSON.stringify({ ...credential, publish: 'all' }))), /lists of topics/);
  assert.match(String(parseCredential(JSON.stringify({ ...credential, device: 'a/b' }))), /device/);
});
