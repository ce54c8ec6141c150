import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isSameProcess, type ProcessId } from '@weir/infra';
import type { AppState } from './app-process.ts';

export interface AppLine {
  readonly name: string;
  readonly state: AppState;
  readonly detail: string;
  readonly process: ProcessId | null;
  readonly restarts: number;
  readonly logFile: string;
}

/** What the supervisor of a data folder says about itself, for `weir status` and `weir down`. */
export interface Run {
  readonly supervisor: ProcessId;
  readonly state: 'starting' | 'running' | 'stopping';
  /** What it is doing while it starts or stops. */
  readonly doing: string;
  readonly servers: 'native' | 'containers';
  readonly portOffset: number;
  /** Edge processes; `edgePortOffset` tells where they listen. */
  readonly edges: number;
  readonly startedAt: string;
  readonly apps: readonly AppLine[];
}

const pathOf = (folder: string): string => join(folder, 'run.json');

export function writeRun(folder: string, run: Run): void {
  mkdirSync(folder, { recursive: true });
  const unfinished = `${pathOf(folder)}.${process.pid}`;
  writeFileSync(unfinished, `${JSON.stringify(run, null, 2)}\n`, { mode: 0o600 });
  renameSync(unfinished, pathOf(folder));
}

export function removeRun(folder: string): void {
  rmSync(pathOf(folder), { force: true });
}

/** Ends apps that outlived their supervisor (a machine without `setpriv` cannot bind their lives to it). */
export async function endLeftApps(run: Run): Promise<void> {
  const left = run.apps.flatMap(({ process: id }) => (id !== null && isSameProcess(id) ? [id] : []));
  for (const { pid } of left) process.kill(pid, 'SIGKILL');
  while (left.some(isSameProcess)) await delay(20);
}

/** The run of this folder: alive, or left behind by a supervisor that was killed. */
export function readRun(folder: string): { readonly run: Run; readonly alive: boolean } | undefined {
  try {
    const run = JSON.parse(readFileSync(pathOf(folder), 'utf8')) as Run;
    return { run, alive: isSameProcess(run.supervisor) };
  } catch {
    // None, or damaged by a full disk: there is nothing in it that cannot be found out again.
    return undefined;
  }
}
