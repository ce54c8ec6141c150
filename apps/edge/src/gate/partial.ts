/** A packet that has begun but not ended. */
export class PartialPacket {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #wanted = 0;

  get bytes(): number {
    return this.#bytes;
  }
  /** Whether the packet is not whole even with `bytes` more: then there is nothing to look at yet. */
  needsMoreThan(bytes: number): boolean {
    return this.#bytes > 0 && this.#bytes + bytes < this.#wanted;
  }
  /** @param wanted length of the whole packet; 0 when it is not known, or known already */
  keep(rest: Buffer, wanted: number): void {
    this.#chunks.push(Buffer.from(rest)); // a view would keep the whole socket read alive
    this.#bytes += rest.length;
    if (wanted > 0) this.#wanted = wanted;
  }
  /** Everything kept and `chunk`, as one; nothing is kept afterwards. */
  join(chunk: Buffer): Buffer {
    if (this.#bytes === 0) return chunk;
    const joined = Buffer.concat([...this.#chunks, chunk]);
    this.drop();
    return joined;
  }
  drop(): void {
    this.#chunks = [];
    this.#bytes = 0;
    this.#wanted = 0;
  }
}
