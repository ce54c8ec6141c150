import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DurableFile, DurableFs } from '@weir/flow';

/** An error as the operating system would give it. */
export function systemError(code: string, doing: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: simulated, ${doing}`), { code });
}

interface Node {
  /** What a reader of the running system sees. */
  content: Buffer;
  /** What the platter holds. */
  durable: Buffer;
}

/**
 * A disk in memory that tells written from durable: bytes become durable with `datasync`, names with `syncDir`.
 * `powerCut` and `kill` end it and return the disk that the next start finds; the old one refuses every call.
 */
export class MemoryDisk implements DurableFs {
  #names = new Map<string, Node>();
  #durableNames = new Map<string, Node>();
  #dead = false;

  /**
   * The power goes. Of the bytes of each file that were written but not made durable, `keep` says how many of the
   * first ones reached the platter anyway (a torn write); none without it. `keepNames`: names that were created,
   * renamed and removed without `syncDir` reached it, too.
   */
  powerCut(keep: (unsyncedBytes: number) => number = () => 0, keepNames = false): MemoryDisk {
    this.#dead = true;
    const next = new MemoryDisk();
    for (const [path, node] of keepNames ? this.#names : this.#durableNames) {
      const unsynced = Math.max(0, node.content.length - node.durable.length);
      const kept = Math.min(unsynced, Math.max(0, Math.floor(keep(unsynced))));
      const content = Buffer.concat([
        node.durable,
        node.content.subarray(node.durable.length, node.durable.length + kept),
      ]);
      next.#place(path, content, content);
    }
    return next;
  }
  /** The process dies, the system lives: what was written can be read, but is not durable because of that. */
  kill(): MemoryDisk {
    this.#dead = true;
    const next = new MemoryDisk();
    for (const [path, node] of this.#names) next.#place(path, node.content, node.durable);
    for (const path of next.#durableNames.keys())
      if (!this.#durableNames.has(path)) next.#durableNames.delete(path);
    return next;
  }
  /** Changes one byte of a file, as a failing disk does. */
  flip(path: string, position: number, mask = 0xff): void {
    const node = this.#node(path);
    for (const bytes of new Set([node.content, node.durable])) {
      if (position < bytes.length) bytes[position] = (bytes[position] as number) ^ mask;
    }
  }
  /** Paths and sizes of all files. */
  files(): ReadonlyMap<string, number> {
    return new Map([...this.#names].sort().map(([path, node]) => [path, node.content.length]));
  }

  async mkdir(): Promise<void> {
    await this.#turn();
  }
  async list(dir: string): Promise<string[]> {
    await this.#turn();
    return [...this.#names.keys()]
      .filter((path) => dirname(path) === dir)
      .map((path) => path.slice(dir.length + 1));
  }
  async rename(from: string, to: string): Promise<void> {
    await this.#turn();
    this.#names.set(to, this.#node(from));
    this.#names.delete(from);
  }
  async unlink(path: string): Promise<void> {
    await this.#turn();
    this.#node(path);
    this.#names.delete(path);
  }
  async syncDir(dir: string): Promise<void> {
    await this.#turn();
    for (const path of this.#durableNames.keys())
      if (dirname(path) === dir && !this.#names.has(path)) this.#durableNames.delete(path);
    for (const [path, node] of this.#names) if (dirname(path) === dir) this.#durableNames.set(path, node);
  }
  async open(path: string, mode: 'create' | 'read' | 'write'): Promise<DurableFile> {
    await this.#turn();
    if (mode === 'create') {
      if (this.#names.has(path)) throw systemError('EEXIST', `open ${path}`);
      this.#names.set(path, { content: Buffer.alloc(0), durable: Buffer.alloc(0) });
    }
    const node = this.#node(path);
    return {
      size: async () => {
        await this.#turn();
        return node.content.length;
      },
      write: async (buffers, position) => {
        await this.#turn();
        const bytes = Buffer.concat(buffers);
        const content = Buffer.alloc(Math.max(node.content.length, position + bytes.length));
        node.content.copy(content);
        bytes.copy(content, position);
        node.content = content;
        return bytes.length;
      },
      read: async (target, position) => {
        await this.#turn();
        return node.content.copy(target, 0, Math.min(position, node.content.length));
      },
      truncate: async (size) => {
        await this.#turn();
        node.content = Buffer.from(node.content.subarray(0, size));
      },
      datasync: async () => {
        await this.#turn();
        node.durable = Buffer.from(node.content);
      },
      close: async () => {},
    };
  }

  #place(path: string, content: Buffer, durable: Buffer): void {
    const node = { content: Buffer.from(content), durable: Buffer.from(durable) };
    this.#names.set(path, node);
    this.#durableNames.set(path, node);
  }
  #node(path: string): Node {
    const node = this.#names.get(path);
    if (node === undefined) throw systemError('ENOENT', path);
    return node;
  }
  async #turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (this.#dead) throw systemError('EIO', 'this disk lost its power');
  }
}

/** Faults of `faultFs`; change them while it runs. */
export interface Faults {
  /** Every `datasync` fails with this code. */
  fsyncError?: string | undefined;
  /** Every `datasync` takes so much longer. */
  fsyncDelayMs?: number | undefined;
  /** Bytes that can still be written; then ENOSPC. A write that crosses the bound is short first. */
  freeBytes?: number | undefined;
  /** A write takes at most this many bytes at a time. */
  writeAtMost?: number | undefined;
}

/** `inner` with faults laid over it. */
export function faultFs(inner: DurableFs, faults: Faults): DurableFs {
  const wrap = (file: DurableFile): DurableFile => ({
    ...file,
    async write(buffers, position) {
      const all = Buffer.concat(buffers);
      if (faults.freeBytes !== undefined && faults.freeBytes <= 0)
        throw systemError('ENOSPC', 'no space left on device');
      const taken = Math.min(
        all.length,
        faults.writeAtMost ?? all.length,
        faults.freeBytes ?? Number.POSITIVE_INFINITY,
      );
      const written = await file.write([all.subarray(0, taken)], position);
      if (faults.freeBytes !== undefined) faults.freeBytes -= written;
      return written;
    },
    async datasync() {
      if (faults.fsyncDelayMs !== undefined) await delay(faults.fsyncDelayMs);
      if (faults.fsyncError !== undefined) throw systemError(faults.fsyncError, 'fdatasync');
      await file.datasync();
    },
  });
  return {
    mkdir: (dir) => inner.mkdir(dir),
    list: (dir) => inner.list(dir),
    open: async (path, mode) => wrap(await inner.open(path, mode)),
    rename: (from, to) => inner.rename(from, to),
    unlink: (path) => inner.unlink(path),
    syncDir: (dir) => inner.syncDir(dir),
  };
}
