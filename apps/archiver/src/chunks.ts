const CHUNK = 1 << 20;
/** Kept at most. */
const SPARE = 16;

/**
 * Memory for lines, used again when an object is stored: pages that the kernel has to clear, and megabytes that only the
 * garbage collector frees, are dearer than the copying into them.
 */
export class Chunks {
  readonly #spare: Buffer[] = [];

  /** 1 MiB, or `size` bytes when that is more; what stands in it is of no meaning. */
  take(size = CHUNK): Buffer {
    if (size > CHUNK) return Buffer.allocUnsafeSlow(size);
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(CHUNK);
  }

  /** Takes back the memory of these (parts of) chunks, which nobody may read any more: they are empty from then on. */
  give(chunks: readonly Buffer[]): void {
    for (const { buffer } of chunks) {
      const memory = (buffer as ArrayBuffer).transfer();
      if (memory.byteLength === CHUNK && this.#spare.length < SPARE) this.#spare.push(Buffer.from(memory));
      else memory.transfer(0); // at once, not when the garbage collector comes for it
    }
  }
}
