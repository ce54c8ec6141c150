import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PORTS } from '@weir/topology';
import { APP_PORTS, freeOffset, freePorts, RESERVATION_PORT, SLOT_SIZE } from './free-ports.ts';

test('the port sets of two slots never meet', () => {
  const ports = [RESERVATION_PORT, ...APP_PORTS.map((name) => PORTS[name])];
  for (const a of ports) {
    for (const b of ports) if (a !== b) assert.notEqual((a - b) % SLOT_SIZE, 0, `${a} and ${b}`);
  }
});

test('two scopes get different offsets', async (t) => {
  const [a, b] = await Promise.all([freeOffset(t), freeOffset(t)]);
  assert.notEqual(a, b);
});

test('free ports are distinct', async () => {
  assert.equal(new Set(await freePorts(5)).size, 5);
});
