import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodeEnvelope, envelopePrefix, HybridClock, LineWriter, type PublishHead } from './index.ts';

test('property: what is written is what encodeEnvelope makes', () => {
  const heads = fc.record({
    n: fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(0, 9, 10, 999_999_999, 1e9, 1e18 % 2 ** 53)),
    k: fc.maxSafeNat(),
    at: fc.nat(2 ** 43),
    qos: fc.constantFrom(0 as const, 1 as const),
    mid: fc.nat(65_535),
    dup: fc.boolean(),
    critical: fc.boolean(),
  });
  const payload = fc.constantFrom('1', '{"value":1}', '{"value":1,"note":"ü"}');
  fc.assert(
    fc.property(heads, payload, fc.nat(20), fc.boolean(), (head: PublishHead, text, gap, isLong) => {
      const clocks = [new HybridClock(), new HybridClock()] as const;
      for (const clock of clocks) clock.resume(isLong ? head.at + 5 : 0);
      const prefix = envelopePrefix({ edge: 'e/1', site: 'wörk', device: 'pump-7', via: 'mqtt' });
      const bytes = Buffer.from(`${'x'.repeat(gap)}${text}behind`);
      const writer = new LineWriter(clocks[0]);
      writer.set(Buffer.from(prefix), head, bytes, gap, bytes.length - 6);
      const target = Buffer.alloc(writer.length + gap);
      writer.copy(target, gap);
      const hlc = clocks[1].tick(head.at);
      const mid = head.mid === 0 ? undefined : head.mid;
      const made = encodeEnvelope(prefix, { ...head, mid, hlc }, Buffer.from(text));
      assert.equal(target.subarray(gap).toString(), made.toString());
    }),
    { numRuns: 1_000 },
  );
});
