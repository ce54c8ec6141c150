import assert from 'node:assert/strict';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { zstdCompress } from 'node:zlib';
import kafkajs, { CompressionTypes } from 'kafkajs';
import { contentSize, forgetRecords } from './zstd.ts';

const codec = kafkajs.CompressionCodecs[CompressionTypes.ZSTD]() as {
  compress(encoder: { buffer: Buffer }): Promise<Buffer>;
  decompress(buffer: Buffer): Promise<Buffer>;
};
const text = (bytes: number): Buffer => Buffer.alloc(bytes, '{"value":21.4}\n');

test('what is packed says its size, and comes back', async () => {
  for (const bytes of [1, 100, 255, 256, 300, 65_791, 65_792, 100_000, 1 << 20, (1 << 20) + 1, 9 << 20]) {
    const packed = await codec.compress({ buffer: text(bytes) });
    if (packed.length >= 18) assert.equal(contentSize(packed), bytes);
    assert.ok((await codec.decompress(packed)).equals(text(bytes)), `${bytes} bytes`);
  }
});

test('frames without their size, as streaming producers make them', async () => {
  for (const bytes of [100, 100_000, 9 << 20]) {
    const packed = await promisify(zstdCompress)(text(bytes));
    assert.equal(contentSize(packed), undefined);
    assert.ok((await codec.decompress(packed)).equals(text(bytes)));
  }
});

test('a size that lies costs no memory, and nothing is lost', async () => {
  const packed = await codec.compress({ buffer: text(100_000) });
  for (const lie of [0, 1, 0xffff_fff0]) {
    const other = Buffer.from(packed);
    const at = other.indexOf(Buffer.from(new Uint32Array([100_000]).buffer));
    assert.ok(at > 0 && at < 18);
    other.writeUInt32LE(lie, at);
    await assert.rejects(codec.decompress(other));
  }
});

test('a frame that was cut is refused', async () => {
  const packed = await codec.compress({ buffer: text(100_000) });
  await assert.rejects(codec.decompress(packed.subarray(0, packed.length - 5)));
});

test('what records were unpacked into is given back once they are forgotten, and nothing else', async () => {
  const unpacked = await codec.decompress(await codec.compress({ buffer: text(100_000) }));
  const asItCame = text(100_000);
  forgetRecords([unpacked.subarray(0, 50), unpacked.subarray(50), asItCame].map((value) => ({ value })));
  assert.equal(unpacked.length, 0);
  assert.equal(asItCame.length, 100_000);
});
