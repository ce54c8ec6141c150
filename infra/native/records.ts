import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivate } from './credentials.ts';
import { isSameProcess, type ProcessId } from './proc.ts';
import type { ServerName } from './servers/index.ts';

/** What is kept about a started server, so that a later run can find it again and cannot mistake another for it. */
export interface ServerRecord {
  readonly wrapper: ProcessId;
  readonly server: ProcessId;
  readonly portOffset: number;
  readonly supervised: boolean;
  /** RFC 3339. */
  readonly startedAt: string;
}

const pathOf = (dataDir: string, name: ServerName): string => join(dataDir, 'run', `${name}.json`);

export function writeRecord(dataDir: string, name: ServerName, record: ServerRecord): void {
  writePrivate(pathOf(dataDir, name), record);
}

export function removeRecord(dataDir: string, name: ServerName): void {
  rmSync(pathOf(dataDir, name), { force: true });
}

/** The record of a server that still runs; a stale one (dead, reused number, earlier boot, damaged) is removed. */
export function readRecord(dataDir: string, name: ServerName): ServerRecord | undefined {
  let record: ServerRecord;
  try {
    record = JSON.parse(readFileSync(pathOf(dataDir, name), 'utf8')) as ServerRecord;
    if (isSameProcess(record.server)) return record;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  }
  removeRecord(dataDir, name);
  return undefined;
}
