import { type Config, loadConfig } from '@weir/config';
import { errorMessage, WeirError } from '@weir/flow';
import {
  adminHandler,
  type Check,
  createLogger,
  type Logger,
  Metrics,
  type Question,
  serveAdmin,
} from '@weir/observe';
import { PORTS, type PortName } from '@weir/topology';
import manifest from '../../../package.json' with { type: 'json' };

/** Stop accepting → settle what is in flight → flush → close. Each phase ends before the next begins. */
export type StopPhase = 'accept' | 'settle' | 'flush' | 'close';
const PHASES: readonly StopPhase[] = ['accept', 'settle', 'flush', 'close'];
const STOP_DEADLINE_MS = 14_000;

export interface AppContext {
  readonly name: string;
  readonly version: string;
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Aborts when the stop begins. */
  readonly stopping: AbortSignal;
  /** Answers the admin paths on a server of the app's own; false for any other path. */
  readonly admin: ReturnType<typeof adminHandler>;
  /** The port of `name` with this installation's offset. */
  port(name: PortName): number;
  /** Registers work for the stop; stoppers of one phase run together, in the order of the phases. */
  onStop(phase: StopPhase, name: string, stop: () => Promise<void> | void): void;
  /** Registers a condition of `/readyz`. */
  readyWhen(name: string, check: Check): void;
  /** Answers GETs of a path of the admin server. */
  answer(path: string, question: Question): void;
  /** Ends the process with exit code 1 at once, without a drain: state may be wrong, so nothing more is written. */
  fatal(doing: string, error: unknown): never;
}

export interface AppDefinition {
  readonly name: string;
  /** Port of the admin server; null when the app serves `context.admin` itself. */
  readonly adminPort: PortName | null;
  start(context: AppContext): Promise<void>;
}

/**
 * Runs an app to its end: configuration, log, metrics, health paths, signals and the two-phase stop. SIGTERM or
 * SIGINT drains within 15 s and exits 0; a second signal, or a stop that is late, exits 1 and names who is late.
 */
export async function runApp(definition: AppDefinition): Promise<void> {
  let config: Config;
  try {
    config = loadConfig();
  } catch (error) {
    process.stderr.write(`${definition.name}: ${errorMessage(error)}\n`);
    process.exit(2);
  }
  const log = createLogger({ app: definition.name, level: config.log.level, format: config.log.format });
  const metrics = new Metrics(definition.name);
  const checks = new Map<string, Check>();
  const questions = new Map<string, Question>();
  const stoppers: { phase: StopPhase; name: string; stop: () => Promise<void> | void }[] = [];
  const abort = new AbortController();
  let state: 'starting' | 'running' | 'draining' | 'stopped' = 'starting';

  const exit = (code: number): never => {
    log.flush();
    process.exit(code);
  };
  const fatal = (doing: string, error: unknown): never => {
    log.fatal({ err: error }, `${doing}: ${errorMessage(error)}`);
    return exit(1);
  };

  const stop = async (why: string): Promise<void> => {
    if (state === 'draining') {
      log.warn(`${why} again while draining: leaving now`);
      exit(1);
    }
    state = 'draining';
    log.info({ why }, 'draining');
    const started = performance.now();
    const late = new Set<string>();
    const deadline = setTimeout(() => {
      log.error(
        { late: [...late] },
        `not drained after ${STOP_DEADLINE_MS / 1000} s; waiting for ${[...late].join(', ')}`,
      );
      exit(1);
    }, STOP_DEADLINE_MS);
    abort.abort(new WeirError('WEIR_STATE', 'fatal', 'the app is stopping'));
    let failed = false;
    for (const phase of PHASES) {
      await Promise.all(
        stoppers
          .filter((stopper) => stopper.phase === phase)
          .map(async ({ name, stop: run }) => {
            late.add(name);
            try {
              await run();
            } catch (error) {
              failed = true;
              log.error({ err: error }, `stopping ${name}: ${errorMessage(error)}`);
            }
            late.delete(name);
          }),
      );
    }
    clearTimeout(deadline);
    state = 'stopped';
    log.info({ ms: Math.round(performance.now() - started) }, 'stopped');
    exit(failed ? 1 : 0);
  };

  const onSignal = (signal: NodeJS.Signals): void => {
    stop(signal).catch((error: unknown) => fatal('stopping', error));
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  process.on('uncaughtException', (error) => fatal('an error that nobody handled', error));
  process.on('unhandledRejection', (error) => fatal('a promise that nobody handled', error));

  const adminOptions = {
    app: definition.name,
    version: manifest.version,
    metrics,
    state: () => state,
    checks,
    questions,
  };
  const context: AppContext = {
    name: definition.name,
    version: manifest.version,
    config,
    log,
    metrics,
    stopping: abort.signal,
    admin: adminHandler(adminOptions),
    port: (name) => PORTS[name] + config.ports.offset,
    onStop: (phase, name, run) => stoppers.push({ phase, name, stop: run }),
    readyWhen: (name, check) => checks.set(name, check),
    answer: (path, question) => questions.set(path, question),
    fatal,
  };
  try {
    if (definition.adminPort !== null) {
      const server = await serveAdmin(adminOptions, context.port(definition.adminPort), config.ports.host);
      context.onStop('close', 'health and metrics', () => {
        server.closeAllConnections();
        server.close();
      });
    }
    await definition.start(context);
    if (state === 'starting') {
      state = 'running';
      log.info({ pid: process.pid }, 'running');
    }
  } catch (error) {
    if (abort.signal.aborted) return;
    fatal('starting', error);
  }
}
