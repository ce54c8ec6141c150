import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hexLines } from './bytes.ts';

test('bytes in hex beside their text', () => {
  assert.deepEqual(hexLines(new Uint8Array()), []);
  assert.deepEqual(hexLines(new TextEncoder().encode('{"value":21.4}\n\u00e9')), [
    '00000000  7b 22 76 61 6c 75 65 22  3a 32 31 2e 34 7d 0a c3  {"value":21.4}..',
    '00000010  a9                                                .',
  ]);
});
