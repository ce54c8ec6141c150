import assert from 'node:assert/strict';
import { test } from 'node:test';
import { edgePortOffset, MAX_EDGES, PORTS } from './ports.ts';

const EDGE_PORTS = [PORTS.mqtt, PORTS.mqttTls, PORTS.mqttWs, PORTS.edgeHttp];

test('edges of one installation, and of a second one 1000 apart, never meet another port', () => {
  const used = Array.from({ length: 2 }, (_, installation) => [
    ...Object.values(PORTS).map((port) => port + 1_000 * installation),
    ...Array.from({ length: MAX_EDGES - 1 }, (_, i) =>
      EDGE_PORTS.map((port) => port + edgePortOffset(i + 1) + 1_000 * installation),
    ).flat(),
  ]).flat();
  assert.equal(new Set(used).size, used.length);
});
