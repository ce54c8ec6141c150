import { type DurableFile, type DurableFs, errorMessage, WeirError } from '@weir/flow';

/** Writes all of `buffers`, however few bytes the system takes at a time. */
export async function writeAll(
  file: DurableFile,
  buffers: readonly Buffer[],
  position: number,
): Promise<void> {
  let rest = [...buffers];
  let at = position;
  while (rest.length > 0) {
    let written = await file.write(rest, at);
    if (written <= 0) throw new Error('the file system took no byte of a write and named no reason');
    at += written;
    let whole = 0;
    while (whole < rest.length && written >= (rest[whole] as Buffer).length) {
      written -= (rest[whole] as Buffer).length;
      whole++;
    }
    rest = rest.slice(whole);
    if (written > 0) rest[0] = (rest[0] as Buffer).subarray(written);
  }
}

export async function readWhole(fs: DurableFs, path: string): Promise<Buffer | undefined> {
  let file: DurableFile;
  try {
    file = await fs.open(path, 'read');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const content = Buffer.alloc(await file.size());
    return content.subarray(0, await file.read(content, 0));
  } finally {
    await file.close();
  }
}

/** After this the file holds `content`, or, when the power goes meanwhile, what it held before. */
export async function replaceFile(fs: DurableFs, path: string, content: string): Promise<void> {
  const next = `${path}.tmp`;
  await removeFile(fs, next);
  const file = await fs.open(next, 'create');
  try {
    await writeAll(file, [Buffer.from(content)], 0);
    await file.datasync();
  } finally {
    await file.close();
  }
  await fs.rename(next, path);
}

export async function removeFile(fs: DurableFs, path: string): Promise<void> {
  try {
    await fs.unlink(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** What a failed write or fsync means for a person. */
export function diskError(doing: string, dir: string, error: unknown): WeirError {
  if (error instanceof WeirError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const what =
    code === 'ENOSPC' || code === 'EDQUOT'
      ? `the disk under ${dir} is full. Free some space or lower edge.spool.maxSize, then start the edge again`
      : code === 'EROFS' || code === 'EACCES' || code === 'EPERM'
        ? `${dir} cannot be written (${code}). Give the edge a writable edge.spool.dir`
        : `${errorMessage(error)}. Check the disk under ${dir} before the edge is started again`;
  return new WeirError(
    'WEIR_SPOOL_FSYNC',
    'fatal',
    `${doing}: ${what}. Nothing that was not durable has been acknowledged.`,
    error,
  );
}
