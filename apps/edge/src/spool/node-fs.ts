import { mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import type { DurableFile, DurableFs } from '@weir/flow';

const FLAGS = { create: 'wx+', read: 'r', write: 'r+' } as const;

/** The real file system. */
export const nodeFs: DurableFs = {
  async mkdir(dir) {
    await mkdir(dir, { recursive: true });
  },
  list: (dir) => readdir(dir),
  async open(path, mode): Promise<DurableFile> {
    const handle = await open(path, FLAGS[mode], 0o600);
    return {
      size: async () => (await handle.stat()).size,
      write: async (buffers, position) => (await handle.writev(buffers as Buffer[], position)).bytesWritten,
      async read(target, position) {
        let filled = 0;
        while (filled < target.length) {
          const { bytesRead } = await handle.read(target, filled, target.length - filled, position + filled);
          if (bytesRead === 0) break;
          filled += bytesRead;
        }
        return filled;
      },
      truncate: (size) => handle.truncate(size),
      datasync: () => handle.datasync(),
      close: () => handle.close(),
    };
  },
  rename,
  unlink,
  async syncDir(dir) {
    const handle = await open(dir, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
};
