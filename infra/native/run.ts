import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { WeirError } from '@weir/flow';

export type StepState = 'started' | 'progress' | 'done' | 'note';
/** What a slow step is doing; `line` is the last line that its tool printed. */
export interface Progress {
  readonly step: string;
  readonly what: string;
  readonly state: StepState;
  readonly elapsedMs: number;
  readonly line?: string;
}
export type OnProgress = (progress: Progress) => void;

export interface RunOptions {
  /** What is being done, for the error sentence ("building MinIO"). */
  readonly what: string;
  /** What a person can do when it fails. */
  readonly wayOut: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly onLine?: (line: string) => void;
}

const TAIL_LINES = 20;
// Tools colour their output even into a pipe; the escape byte is built here because a pattern may not hold it.
const colours = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');

export function findProgram(name: string): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    if (folder === '') continue;
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      if (existsSync(path) && statSync(path).isFile()) return path;
    } catch {
      // Not here: look in the next folder.
    }
  }
  return undefined;
}

function eachLine(child: ChildProcess, onLine: (line: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream?.setEncoding('utf8');
    stream?.on('data', (chunk: string) => {
      const lines = (rest + chunk.replaceAll(colours, '')).split(/[\r\n]+/);
      rest = lines.pop() ?? '';
      for (const line of lines) if (line.trim() !== '') onLine(line.trimEnd());
    });
    stream?.on('end', () => {
      if (rest.trim() !== '') onLine(rest.trimEnd());
    });
  }
}

/** Runs a tool to its end and returns its output; a failure names the work, the last lines and the way out. */
export async function run(program: string, args: readonly string[], options: RunOptions): Promise<string> {
  const lines: string[] = [];
  // A tool must not go on building when this process was stopped or killed meanwhile.
  const bound =
    findProgram('setpriv') === undefined ? [program] : ['setpriv', '--pdeathsig', 'TERM', program];
  const child = spawn(bound[0] as string, [...bound.slice(1), ...args], {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // A tool that ends without reading its input is judged by its exit code, not by the broken pipe.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  eachLine(child, (line) => {
    lines.push(line);
    options.onLine?.(line);
  });
  const outcome = await new Promise<{ code: number | null; signal: string | null; error?: Error }>(
    (resolve) => {
      child.on('error', (error) => resolve({ code: null, signal: null, error }));
      child.on('close', (code, signal) => resolve({ code, signal }));
    },
  );
  if (outcome.code === 0) return lines.join('\n');
  const ended = outcome.error?.message ?? outcome.signal ?? `exit code ${outcome.code}`;
  const tail = lines.slice(-TAIL_LINES).map((line) => `    ${line}`);
  throw new WeirError(
    'WEIR_STATE',
    'fatal',
    [`${options.what} failed (${program}: ${ended}).`, ...tail, options.wayOut].join('\n'),
    outcome.error,
  );
}
