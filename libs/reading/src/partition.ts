const M = 0x5bd1e995;

/**
 * MurmurHash2 as Kafka's Java client uses it (org.apache.kafka.common.utils.Utils.murmur2), so that a record keyed
 * by device lands in the same partition whoever writes it. Returns a signed 32-bit integer.
 */
export function murmur2(data: Buffer): number {
  const length = data.length;
  let h = 0x9747b28c ^ length;
  let i = 0;
  for (; i + 4 <= length; i += 4) {
    let k = data.readInt32LE(i);
    k = Math.imul(k, M);
    k ^= k >>> 24;
    k = Math.imul(k, M);
    h = Math.imul(h, M) ^ k;
  }
  const tail = length - i;
  if (tail > 0) {
    if (tail === 3) h ^= (data[i + 2] ?? 0) << 16;
    if (tail >= 2) h ^= (data[i + 1] ?? 0) << 8;
    h = Math.imul(h ^ (data[i] ?? 0), M);
  }
  h ^= h >>> 13;
  h = Math.imul(h, M);
  h ^= h >>> 15;
  return h | 0;
}

/** The partition of a device, as Kafka's default partitioner chooses it for the key `device`. */
export function partitionOf(device: string, partitions: number): number {
  return (murmur2(Buffer.from(device)) & 0x7fffffff) % partitions;
}
