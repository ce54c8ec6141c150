import type { ArchiveObject, ArchiveReader } from '@weir/connect-minio';
import { archiveKey } from '@weir/topology';

/** An object of one partition. */
export interface Piece {
  readonly key: string;
  /** Offsets of its first and last record. */
  readonly first: bigint;
  readonly last: bigint;
  /** When it was stored, epoch milliseconds. Everything in it, and before it in the log, had arrived by then. */
  readonly storedAt: number;
}

const FIELDS = 4;
const FIRST_ROOM = 256;

/** The objects of one partition in 32 bytes each, by first offset. */
class PieceList {
  private values = new Float64Array(FIRST_ROOM * FIELDS);
  private count = 0;
  private sorted = true;
  readonly partition: number;

  constructor(partition: number) {
    this.partition = partition;
  }

  add({ first, last, hourMs, storedAt }: ArchiveObject): void {
    if ((this.count + 1) * FIELDS > this.values.length) {
      const next = new Float64Array(this.values.length * 2);
      next.set(this.values);
      this.values = next;
    }
    this.values.set([Number(first), Number(last), hourMs, storedAt], this.count++ * FIELDS);
    this.sorted = false;
  }

  *pieces(): Generator<Piece, void, undefined> {
    if (!this.sorted) this.sort();
    for (let at = 0; at < this.count * FIELDS; at += FIELDS) {
      const [first, last, hour, storedAt] = this.values.subarray(at, at + FIELDS) as unknown as number[];
      const from = BigInt(first as number);
      const to = BigInt(last as number);
      yield {
        key: archiveKey(this.partition, from, to, hour as number),
        first: from,
        last: to,
        storedAt: storedAt as number,
      };
    }
  }

  /** By first offset; of those that begin together the longest first. */
  private sort(): void {
    const old = this.values.slice(0, this.count * FIELDS);
    const value = (index: number, field: number): number => old[index * FIELDS + field] as number;
    const order = Array.from({ length: this.count }, (_, i) => i).sort(
      (a, b) => value(a, 0) - value(b, 0) || value(b, 1) - value(a, 1),
    );
    order.forEach((from, to) => {
      this.values.set(old.subarray(from * FIELDS, from * FIELDS + FIELDS), to * FIELDS);
    });
    this.sorted = true;
  }
}

/** Which objects the archive has, by partition; their names only. */
export class ArchiveIndex {
  private readonly lists: readonly PieceList[];
  /** Objects and their bytes as stored. */
  objects = 0;
  bytes = 0;

  constructor(partitions: number) {
    this.lists = Array.from({ length: partitions }, (_, partition) => new PieceList(partition));
  }

  add(object: ArchiveObject): void {
    const list = this.lists[object.partition];
    if (list === undefined) return; // of a topic with more partitions
    list.add(object);
    this.objects++;
    this.bytes += object.size;
  }

  pieces(partition: number): Iterable<Piece> {
    return this.lists[partition]?.pieces() ?? [];
  }
}

/** Lists the whole archive; `told` hears how many objects there are so far. */
export async function indexArchive(
  archive: ArchiveReader,
  partitions: number,
  told: (objects: number) => void = () => undefined,
): Promise<ArchiveIndex> {
  const index = new ArchiveIndex(partitions);
  for await (const object of archive.listObjects()) {
    index.add(object);
    if (index.objects % 1_000 === 0) told(index.objects);
  }
  return index;
}
