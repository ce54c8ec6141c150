/**
 * The few calls that a store with a durability promise makes of a file system, so that tests can lay faults below
 * it. Every method rejects with the error of the operating system (`code` set).
 */
export interface DurableFs {
  /** Creates the folder and its parents. */
  mkdir(dir: string): Promise<void>;
  /** Names in the folder, in no order. */
  list(dir: string): Promise<string[]>;
  /** `create` fails when the file exists. */
  open(path: string, mode: 'create' | 'read' | 'write'): Promise<DurableFile>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Makes the entries of the folder durable: names created, renamed and removed. */
  syncDir(dir: string): Promise<void>;
}

export interface DurableFile {
  /** Bytes in the file. */
  size(): Promise<number>;
  /** Writes at `position`; may write less than asked. Returns the bytes written. */
  write(buffers: readonly Buffer[], position: number): Promise<number>;
  /** Returns the bytes read; less than `target` holds only at the end of the file. */
  read(target: Buffer, position: number): Promise<number>;
  truncate(size: number): Promise<void>;
  /** Makes bytes and size durable. */
  datasync(): Promise<void>;
  close(): Promise<void>;
}
