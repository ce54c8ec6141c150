import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fullJitter } from '@weir/flow';
import { ROOT } from '../paths.ts';

export type AppState = 'starting' | 'ready' | 'waiting' | 'crashed' | 'stopping' | 'stopped';

export interface AppProcessOptions {
  readonly name: string;
  /** Script and arguments, run with this Node. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly logFile: string;
  readonly readyUrl: string;
  /** Whether `setpriv` is there to bind the child's life to this process. */
  readonly bound: boolean;
  readonly onChange: () => void;
}

const BACKOFF = { baseMs: 500, maxMs: 15_000 };
/** A process that lived this long was fine: its next crash begins at the first back-off again. */
const HEALTHY_MS = 60_000;
const PROBE_MS = 500;
const PROBE_DEADLINE_MS = 2_000;
/** Apps promise to drain within 15 s. */
const STOP_MS = 20_000;
const LOG_BYTES = 32 << 20;
const EXIT_USAGE = 2;

/** One app as a child process: started, probed, restarted with full-jitter back-off, stopped. */
export class AppProcess {
  readonly name: string;
  readonly logFile: string;
  readonly #options: AppProcessOptions;
  #child: ChildProcess | undefined;
  #state: AppState = 'starting';
  #detail = '';
  #restarts = 0;
  #attempt = 0;
  #startedAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #probe: NodeJS.Timeout | undefined;

  constructor(options: AppProcessOptions) {
    this.name = options.name;
    this.logFile = options.logFile;
    this.#options = options;
  }

  get state(): AppState {
    return this.#state;
  }
  /** Why it is not ready. */
  get detail(): string {
    return this.#detail;
  }
  get pid(): number | undefined {
    return this.#running() ? this.#child?.pid : undefined;
  }
  get restarts(): number {
    return this.#restarts;
  }

  start(): void {
    const { args, env, logFile, bound } = this.#options;
    mkdirSync(dirname(logFile), { recursive: true });
    if (existsSync(logFile) && statSync(logFile).size > LOG_BYTES) renameSync(logFile, `${logFile}.1`);
    const log = openSync(logFile, 'a', 0o600);
    // Bound: the kernel kills the child when this process dies, however that happens.
    const [program, ...words] = bound
      ? ['setpriv', '--pdeathsig', 'KILL', process.execPath, ...args]
      : [process.execPath, ...args];
    const child = spawn(program as string, words, {
      cwd: ROOT,
      env,
      stdio: ['ignore', log, log],
      // A session of its own: Ctrl-C on the terminal reaches the supervisor only, which stops in order.
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    this.#startedAt = performance.now();
    this.#set('starting', '');
    let ended = false;
    const end = (how: string, code: number | null): void => {
      if (ended) return;
      ended = true;
      this.#ended(how, code);
    };
    child.once('error', (error) => end(error.message, null));
    child.once('exit', (code, signal) => end(signal ?? `exit code ${code}`, code));
    this.#schedule();
  }

  /** SIGTERM, and SIGKILL when it has not drained in time; resolves to what had to be done. */
  async stop(deadlineMs = STOP_MS): Promise<'drained' | 'killed'> {
    clearTimeout(this.#timer);
    clearTimeout(this.#probe);
    this.#set('stopping', '');
    const asked = performance.now();
    this.#signal('SIGTERM');
    while (this.#running() && performance.now() - asked < deadlineMs) await delay(20);
    const killed = this.#running();
    if (killed) {
      this.#signal('SIGKILL');
      while (this.#running()) await delay(10);
    }
    this.#set('stopped', '');
    return killed ? 'killed' : 'drained';
  }

  /** Ends it without a drain. */
  kill(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#probe);
    this.#state = 'stopping';
    this.#signal('SIGKILL');
  }

  #running(): boolean {
    const child = this.#child;
    return child?.pid !== undefined && child.exitCode === null && child.signalCode === null;
  }

  #signal(signal: NodeJS.Signals): void {
    if (this.#running()) this.#child?.kill(signal);
  }

  #ended(how: string, code: number | null): void {
    clearTimeout(this.#probe);
    if (this.#state === 'stopping' || this.#state === 'stopped') return;
    if (code === EXIT_USAGE) {
      // Its configuration is wrong: starting again cannot mend that.
      this.#set('crashed', 'the configuration is refused, see its log');
      return;
    }
    if (performance.now() - this.#startedAt > HEALTHY_MS) this.#attempt = 0;
    const waitMs = fullJitter(this.#attempt++, BACKOFF);
    this.#restarts++;
    this.#set('crashed', `ended with ${how}, restart in ${(waitMs / 1000).toFixed(1)} s`);
    this.#timer = setTimeout(() => this.start(), waitMs);
  }

  #schedule(): void {
    this.#probe = setTimeout(() => {
      this.#ask().then(
        () => this.#schedule(),
        () => this.#schedule(),
      );
    }, PROBE_MS);
  }

  async #ask(): Promise<void> {
    const child = this.#child;
    let ready = false;
    let detail = 'does not answer yet';
    try {
      const response = await fetch(this.#options.readyUrl, {
        signal: AbortSignal.timeout(PROBE_DEADLINE_MS),
      });
      const body = (await response.json()) as { missing?: { name: string; missing: string }[] };
      ready = response.ok;
      detail = (body.missing ?? []).map(({ name, missing }) => `${name}: ${missing}`).join('; ');
    } catch {
      // No answer is the detail.
    }
    if (child !== this.#child || !this.#running()) return;
    if (this.#state === 'stopping' || this.#state === 'stopped' || this.#state === 'crashed') return;
    if (ready) this.#set('ready', '');
    else this.#set(this.#state === 'ready' || this.#state === 'waiting' ? 'waiting' : 'starting', detail);
  }

  #set(state: AppState, detail: string): void {
    if (state === this.#state && detail === this.#detail) return;
    this.#state = state;
    this.#detail = detail;
    this.#options.onChange();
  }
}
