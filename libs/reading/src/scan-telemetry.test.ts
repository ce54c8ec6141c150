import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TelemetryScanner } from './scan-telemetry.ts';

const line = fc
  .record({
    device: fc.stringMatching(/^[a-z0-9_-]{1,20}$/),
    ts: fc.integer({ min: 0, max: 4e12 }),
    seq: fc.option(fc.nat(), { nil: undefined }),
    value: fc.double({ noNaN: true, noDefaultInfinity: true }),
    unit: fc.option(fc.string(), { nil: undefined }),
    at: fc.integer({ min: 0, max: 4e12 }),
  })
  .map((fields) => JSON.stringify(fields));

test('property: every line that it takes means what JSON.parse says, and ends where it ends', () => {
  const scanner = new TelemetryScanner();
  const mutation = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) });
  fc.assert(
    fc.property(line, fc.array(mutation, { maxLength: 2 }), (text, mutations) => {
      const bytes = Buffer.from(`${text}\nnext`);
      const length = Buffer.byteLength(text);
      for (const { at, byte } of mutations) bytes[at % length] = byte;
      const end = scanner.scan(bytes, 0);
      if (end < 0) return;
      assert.ok(bytes[end] === 0x0a && bytes.indexOf(0x0a) === end);
      const parsed = JSON.parse(bytes.toString('utf8', 0, end)) as Record<string, unknown>;
      const { device, ts, value, arrivedAt } = scanner;
      assert.deepEqual([device, ts, value, arrivedAt], [parsed.device, parsed.ts, parsed.value, parsed.at]);
    }),
    { numRuns: 500 },
  );
});

test('the lines of an edge are taken, with and without what is optional', () => {
  const scanner = new TelemetryScanner();
  for (const more of ['', ',"seq":7']) {
    for (const unit of ['', ',"unit":"°C"']) {
      const text = `{"device":"d-1","ts":1${more},"value":-2.5${unit},"at":3}`;
      assert.equal(scanner.scan(Buffer.from(text), 0), Buffer.byteLength(text));
      const { device, ts, value, arrivedAt } = scanner;
      assert.deepEqual([device, ts, value, arrivedAt], ['d-1', 1, -2.5, 3]);
    }
  }
});
