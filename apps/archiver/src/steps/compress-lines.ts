import { Readable } from 'node:stream';
import { constants, createZstdCompress } from 'node:zlib';

/** One zstd frame of all chunks, made off the event loop. `level` 1 to 19. */
export async function compressLines(chunks: readonly Buffer[], level: number): Promise<Buffer> {
  const zstd = createZstdCompress({
    chunkSize: 1 << 18,
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1 },
  });
  const parts: Buffer[] = [];
  for await (const part of Readable.from(chunks).pipe(zstd)) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
