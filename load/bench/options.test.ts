import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readOptions, Usage } from './options.ts';

const refused = (args: readonly string[], message: RegExp): void =>
  assert.throws(
    () => readOptions(args),
    (error: unknown) => error instanceof Usage && message.test(error.message),
  );

test('without options the whole of Weir is measured with each payload', () => {
  const { mode, payloads, readings, window, devices, runs, save } = readOptions([]);
  assert.deepEqual(
    { mode, payloads, readings, window, devices, runs, save },
    {
      ...{ mode: 'payloads', payloads: ['one-value', 'five-metrics'], readings: 300_000 },
      ...{ window: 20, devices: 1_000, runs: 3, save: true },
    },
  );
});

test('each mode has its own defaults, which options change', () => {
  const { mode, devices, window } = readOptions(['--freshness', '--devices', '500']);
  assert.deepEqual({ mode, devices, window }, { mode: 'freshness', devices: 500, window: 100 });
  const peer = readOptions(['--peer', '--runs', '5', '--no-save', '--profile']);
  assert.deepEqual([peer.mode, peer.runs, peer.save, peer.keep], ['peer', 5, false, true]);
});

test('what cannot be done is refused with the reason', () => {
  refused(['--drain', '--peer'], /--peer and --drain cannot be had at once/);
  refused(['--peer', '--stack', 'stack.json'], /--stack cannot be given/);
  refused(['--peer', '--payload', 'five-metrics'], /one-value/);
  refused(['--payload', 'six-metrics'], /one-value or five-metrics; got "six-metrics"/);
  refused(['--runs', '0'], /--runs takes a whole number from 1 to 100; got "0"/);
  refused(['--devices', '10'], /--devices is at least --connections/);
  refused(['--rum', '3'], /rum/);
});
