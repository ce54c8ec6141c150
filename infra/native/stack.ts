import type { ChildProcess } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { WeirError } from '@weir/flow';
import { type Credentials, loadCredentials, writePrivate } from './credentials.ts';
import { portOf, serverEnvironment } from './environment.ts';
import { launchServer, requireNamespaces } from './launch.ts';
import { type Lock, takeLock } from './lock.ts';
import { requireOffset, requirePorts } from './ports.ts';
import { familyOf, identify, isSameProcess, type ProcessId } from './proc.ts';
import { type Provisioned, provision } from './provision.ts';
import { readRecord, removeRecord, type ServerRecord, writeRecord } from './records.ts';
import { requireDisk, requireMemory } from './resources.ts';
import type { OnProgress } from './run.ts';
import { SERVER_NAMES, SERVERS, type ServerContext, type ServerName } from './servers/index.ts';
import { logTail, until, whyNotReady } from './waiting.ts';

export interface NativeStackOptions {
  /** Everything that is kept between starts, and the logs. */
  readonly dataDir: string;
  /** Added to every port of `@weir/topology`. */
  readonly portOffset: number;
  /** The servers of this stack; all of them when absent. */
  readonly servers?: readonly ServerName[];
  /** true (default): the servers die with this process, even by kill -9. false: they go on without it. */
  readonly supervised?: boolean;
  readonly onProgress?: OnProgress;
  /** A server of a supervised stack ended without being asked to. */
  readonly onExit?: (name: ServerName, how: string) => void;
}

export type ServerState = 'ready' | 'starting' | 'stopped';
export interface ServerStatus {
  readonly name: ServerName;
  readonly title: string;
  readonly state: ServerState;
  readonly pid: number | undefined;
  readonly ports: readonly number[];
  /** Why a running server is not ready. */
  readonly reason?: string;
  readonly logFile: string;
}

const READY_MS = 90_000;
const STOP_MS = 20_000;
const POLL_MS = 100;

/** RabbitMQ, Kafka, PostgreSQL, MinIO and Redis on this machine without containers, in one data folder. */
export class NativeStack {
  readonly dataDir: string;
  readonly portOffset: number;
  readonly servers: readonly ServerName[];
  readonly supervised: boolean;
  readonly #report: OnProgress;
  readonly #onExit: (name: ServerName, how: string) => void;
  readonly #stopping = new Set<ServerName>();
  #credentials: Credentials | undefined;
  #provisioned: Provisioned | undefined;
  #lock: Lock | undefined;

  constructor(options: NativeStackOptions) {
    this.dataDir = resolve(options.dataDir);
    this.portOffset = options.portOffset;
    this.servers = options.servers ?? SERVER_NAMES;
    this.supervised = options.supervised ?? true;
    this.#report = options.onProgress ?? (() => {});
    this.#onExit = options.onExit ?? (() => {});
    requireOffset(this.portOffset);
  }

  /** Secrets of this data folder, made the first time they are asked for. */
  get credentials(): Credentials {
    this.#credentials ??= loadCredentials(this.dataDir);
    return this.#credentials;
  }

  /** The `WEIR_…` variables with which apps find these servers. */
  get env(): Record<string, string> {
    return serverEnvironment(this.credentials, this.portOffset);
  }

  logFile(name: ServerName): string {
    return join(this.dataDir, 'logs', `${name}.log`);
  }

  /** Number of the server's own process (java, beam, postmaster, minio, redis-server), undefined when it is down. */
  pid(name: ServerName): number | undefined {
    return readRecord(this.dataDir, name)?.server.pid;
  }

  /**
   * Provisions what is missing, starts the servers in parallel and resolves when each does its work. Servers that
   * a former run left behind are adopted (detached stack) or stopped first (supervised stack, which must be able to
   * take them along when it dies).
   * @throws WeirError WEIR_PORT_BUSY, WEIR_RESOURCES, WEIR_TOOL_MISSING, WEIR_STATE.
   */
  async start(names: readonly ServerName[] = this.servers): Promise<void> {
    mkdirSync(this.dataDir, { recursive: true, mode: 0o711 });
    await this.#takeOver();
    try {
      this.#provisioned ??= await provision(this.#report);
      await requireNamespaces();
      requireDisk(this.dataDir, 2);
      const absent = (await Promise.all(names.map((name) => this.#leftBehind(name)))).filter(
        (name) => name !== undefined,
      );
      requireMemory(absent.length / SERVER_NAMES.length);
      await requirePorts(
        absent.flatMap((name) =>
          SERVERS[name].ports.map((port) => ({
            port: portOf(port, this.portOffset),
            owner: SERVERS[name].title,
          })),
        ),
      );
      const starts = await Promise.allSettled(absent.map((name) => this.#startOne(name)));
      const failed = starts.find((start) => start.status === 'rejected');
      if (failed) {
        await Promise.all(absent.map((name) => this.#stopOne(name, STOP_MS)));
        throw failed.reason;
      }
      this.#writeStackFile();
    } catch (error) {
      if (this.servers.every((name) => this.pid(name) === undefined)) await this.#release();
      throw error;
    }
    if (!this.supervised) await this.#release();
  }

  /** Stops in order: each server gets `deadlineMs` to end by itself, then SIGKILL. Safe to call at any time. */
  async stop(names: readonly ServerName[] = this.servers, deadlineMs = STOP_MS): Promise<void> {
    await Promise.all(names.map((name) => this.#stopOne(name, deadlineMs)));
    if (this.servers.some((name) => this.pid(name) !== undefined)) return;
    rmSync(this.stackFile, { force: true });
    await this.#release();
  }

  async restart(names: readonly ServerName[] = this.servers): Promise<void> {
    await Promise.all(names.map((name) => this.#stopOne(name, STOP_MS)));
    await this.start(names);
  }

  /**
   * Sends a signal to the server itself. SIGKILL takes everything of the server with it at once, as a crash would,
   * and resolves when it is gone; SIGSTOP and SIGCONT reach all of its processes, so that it truly freezes.
   */
  async kill(name: ServerName, signal: NodeJS.Signals): Promise<void> {
    const record = readRecord(this.dataDir, name);
    if (record === undefined)
      throw new WeirError('WEIR_STATE', 'fatal', `${SERVERS[name].title} does not run.`);
    this.#stopping.add(name);
    const { pid } = record.server;
    for (const member of signal === 'SIGSTOP' || signal === 'SIGCONT' ? familyOf(pid) : [pid])
      send(member, signal);
    if (signal === 'SIGKILL') await this.#gone(name, record, STOP_MS);
  }

  async status(): Promise<ServerStatus[]> {
    return Promise.all(this.servers.map((name) => this.#statusOf(name)));
  }

  /** File with ports, processes and environment of the running stack (mode 0600: it holds the credentials). */
  get stackFile(): string {
    return join(this.dataDir, 'stack.json');
  }

  async #statusOf(name: ServerName): Promise<ServerStatus> {
    const { title, ports } = SERVERS[name];
    const common = {
      name,
      title,
      ports: ports.map((port) => portOf(port, this.portOffset)),
      pid: this.pid(name),
      logFile: this.logFile(name),
    };
    if (common.pid === undefined) return { ...common, state: 'stopped' };
    const reason = await whyNotReady(() => this.#answers(name));
    return reason === undefined ? { ...common, state: 'ready' } : { ...common, state: 'starting', reason };
  }

  #context(name: ServerName, provisioned: Provisioned): ServerContext {
    return {
      provisioned,
      credentials: this.credentials,
      folder: join(this.dataDir, name === 'timescale' ? 'postgres' : name),
      port: (port) => portOf(port, this.portOffset),
      env: this.env,
    };
  }

  async #answers(name: ServerName): Promise<void> {
    this.#provisioned ??= await provision();
    await SERVERS[name].answers(this.#context(name, this.#provisioned));
  }

  /** Two runs must not drive one data folder: the second is told about the first. */
  async #takeOver(): Promise<void> {
    this.#lock ??= await takeLock(join(this.dataDir, 'stack.lock'), {
      waitMs: 3_000,
      busy: (holder) =>
        `The servers in ${this.dataDir} are run by process ${holder}, which still lives: stop it first (Ctrl-C there).`,
    });
  }

  async #release(): Promise<void> {
    const lock = this.#lock;
    this.#lock = undefined;
    await lock?.release();
  }

  /** Returns the name when the server must be started, undefined when a running one was adopted. */
  async #leftBehind(name: ServerName): Promise<ServerName | undefined> {
    const record = readRecord(this.dataDir, name);
    if (record === undefined) return name;
    const { title } = SERVERS[name];
    const usable = record.portOffset === this.portOffset && record.supervised === this.supervised;
    const reason = usable ? await whyNotReady(() => this.#answers(name)) : 'it was started in another way';
    const note = (line: string) =>
      this.#report({ step: name, what: title, state: 'note', elapsedMs: 0, line });
    if (reason === undefined) {
      note(`${title} still runs from before (process ${record.server.pid}): going on with it.`);
      return undefined;
    }
    note(`${title} was left running by a former run (process ${record.server.pid}): stopping it first.`);
    await this.#stopOne(name, STOP_MS);
    return name;
  }

  async #startOne(name: ServerName): Promise<void> {
    const server = SERVERS[name];
    const begin = Date.now();
    const report = (state: 'started' | 'done') =>
      this.#report({ step: name, what: `Starting ${server.title}`, state, elapsedMs: Date.now() - begin });
    report('started');
    const context = this.#context(name, this.#provisioned!);
    mkdirSync(context.folder, { recursive: true });
    await server.prepare(context);
    this.#stopping.delete(name);
    const launched = launchServer(server.launch(context), {
      logFile: this.logFile(name),
      supervised: this.supervised,
    });
    const found = await until(launched.server, { deadlineMs: 5_000, everyMs: 10 });
    if (found !== undefined) {
      writeRecord(this.dataDir, name, {
        wrapper: launched.wrapperId,
        server: found,
        portOffset: this.portOffset,
        supervised: this.supervised,
        startedAt: new Date().toISOString(),
      });
    }
    this.#watch(name, launched.wrapper);
    await this.#ready(name, found);
    report('done');
  }

  async #ready(name: ServerName, server: ProcessId | undefined): Promise<void> {
    let reason: string | undefined = 'it ended at once';
    const ready = await until(
      async () => {
        if (server === undefined || !isSameProcess(server)) return 'ended';
        reason = await whyNotReady(() => this.#answers(name));
        return reason === undefined ? 'ready' : undefined;
      },
      { deadlineMs: READY_MS, everyMs: POLL_MS },
    );
    if (ready === 'ready') return;
    const { title } = SERVERS[name];
    const what =
      ready === 'ended'
        ? `${title} ended while starting`
        : `${title} is not ready after ${READY_MS / 1000} s`;
    throw new WeirError(
      'WEIR_CONNECT_FAILED',
      'fatal',
      `${what} (${reason ?? 'it stopped answering'}). The end of ${this.logFile(name)}:\n${logTail(this.logFile(name))}`,
    );
  }

  #watch(name: ServerName, wrapper: ChildProcess): void {
    wrapper.on('exit', (code, signal) => {
      if (!this.#stopping.has(name)) this.#onExit(name, signal ?? `exit code ${code}`);
    });
  }

  async #stopOne(name: ServerName, deadlineMs: number): Promise<void> {
    const record = readRecord(this.dataDir, name);
    if (record === undefined) return;
    this.#stopping.add(name);
    const begin = Date.now();
    const report = (state: 'started' | 'done') =>
      this.#report({
        step: name,
        what: `Stopping ${SERVERS[name].title}`,
        state,
        elapsedMs: Date.now() - begin,
      });
    report('started');
    const { pid } = record.server;
    for (const member of familyOf(pid)) send(member, 'SIGCONT'); // A frozen server could not hear the request.
    send(pid, SERVERS[name].stopSignal);
    if (!(await this.#gone(name, record, deadlineMs))) {
      send(pid, 'SIGKILL');
      await this.#gone(name, record, STOP_MS);
    }
    report('done');
  }

  async #gone(name: ServerName, record: ServerRecord, deadlineMs: number): Promise<boolean> {
    const lives = (id: ProcessId) => id.startTime !== -1 && isSameProcess(id);
    const gone = await until(() => (lives(record.server) || lives(record.wrapper) ? undefined : true), {
      deadlineMs,
      everyMs: 20,
    });
    if (gone) removeRecord(this.dataDir, name);
    return gone === true;
  }

  #writeStackFile(): void {
    const pids = Object.fromEntries(this.servers.map((name) => [name, this.pid(name)]));
    writePrivate(this.stackFile, {
      portOffset: this.portOffset,
      dataDir: this.dataDir,
      starter: this.supervised ? identify(process.pid) : undefined,
      pids,
      env: this.env,
    });
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // Gone already: nothing to signal.
  }
}
