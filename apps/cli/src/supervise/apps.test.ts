import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appInstances } from './apps.ts';

test('lag monitor and gateway know every edge; of one edge they know by themselves', () => {
  const asked = (edges: number) =>
    appInstances(edges, '/data', 1_000).flatMap(({ name, settings }) =>
      settings.WEIR_LAG_MONITOR__APPS === undefined
        ? []
        : [[name, settings.WEIR_LAG_MONITOR__APPS.split(',').filter((one) => one.startsWith('edge='))]],
    );
  assert.deepEqual(asked(1), []);
  const both = ['edge=http://127.0.0.1:9081', 'edge=http://127.0.0.1:9201'];
  assert.deepEqual(asked(2), [
    ['lag-monitor', both],
    ['gateway', both],
  ]);
});
