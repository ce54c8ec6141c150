import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Config, loadConfig } from '@weir/config';
import { errorMessage, retrying, WeirError } from '@weir/flow';
import { identify, requirePorts } from '@weir/infra';
import { appArguments, appVariables, PORTS } from '@weir/topology';
import { configFile, ROOT } from '../paths.ts';
import type { Progress } from '../progress.ts';
import { applyPart, topologyParts } from '../topology.ts';
import { AppProcess } from './app-process.ts';
import { type AppInstance, type AppSpec, appInstances, FLEET } from './apps.ts';
import { containerServers, hasContainerEngine } from './container-servers.ts';
import { buildDashboard, dashboardSources, isDashboardBuilt } from './dashboard.ts';
import { nativeServers, type Servers } from './native-servers.ts';
import { endLeftApps, type Run, readRun, removeRun, writeRun } from './run-file.ts';
import { readFigures, type ServerLine, type View, viewOf } from './view.ts';

export interface SupervisorOptions {
  readonly dataDir: string;
  readonly withFleet: boolean;
  /** Edge processes, 1 to `MAX_EDGES`. */
  readonly edges: number;
  readonly progress: Progress;
}

const READY_MS = 120_000;
const SERVER_STATUS_MS = 5_000;

/** Runs a whole installation: servers, topology, page, apps and fleet; stops it in the opposite order. */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #startedAt = new Date().toISOString();
  readonly #apps: { readonly spec: AppSpec; readonly process: AppProcess }[] = [];
  #portOffset = 0;
  #servers: Servers | undefined;
  #state: Run['state'] = 'starting';
  #owns = false;
  #doing = '';
  #stopping = false;
  #serverLines: readonly ServerLine[] = [];
  #serverLinesAt = Number.NEGATIVE_INFINITY;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  /** Whether this process, and no other, runs the data folder: only then is there anything to stop. */
  get owns(): boolean {
    return this.#owns;
  }

  /**
   * Resolves when everything is ready. A stop during the start makes it reject with WEIR_STATE.
   * @throws WeirError with a sentence about what failed and what to do.
   */
  async start(): Promise<void> {
    const { dataDir, progress } = this.#options;
    const file = configFile();
    const config = loadConfig(file === undefined ? {} : { file });
    this.#portOffset = config.ports.offset;
    await this.#tidyFormerRun();
    this.#owns = true;
    this.#note('starting the servers');
    await this.#requireAppPorts();
    const containers = await hasContainerEngine();
    this.#servers = containers
      ? containerServers({ dataDir, portOffset: this.#portOffset, progress })
      : nativeServers({
          dataDir,
          portOffset: this.#portOffset,
          progress,
          onExit: (name, how) => this.#serverEnded(name, how),
        });
    await this.#guard(this.#servers.start());
    const environment = this.#appEnvironment(file);
    const effective = loadConfig({ ...(file === undefined ? {} : { file }), env: environment });
    this.#note('creating topics, queues, schema and bucket');
    await this.#guard(this.#applyTopology(effective));
    await this.#guard(this.#buildPage());
    this.#note('starting the apps');
    await this.#guard(this.#startApps(environment));
    this.#state = 'running';
    this.#note('');
  }

  /** Fleet, edge, consumers, servers; each rank is gone before the next is asked. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#state = 'stopping';
    const { progress, dataDir } = this.#options;
    const ranks = [...new Set(this.#apps.map(({ spec }) => spec.stopRank))].sort((a, b) => a - b);
    for (const rank of ranks) {
      const group = this.#apps.filter(({ spec }) => spec.stopRank === rank);
      this.#note(`stopping ${group.map(({ spec }) => spec.name).join(', ')}`);
      await Promise.all(
        group.map(async ({ process: app }) => {
          progress.begin(app.name, `Stopping ${app.name}`);
          if ((await app.stop()) === 'killed') progress.failed(app.name);
          else progress.done(app.name);
        }),
      );
    }
    this.#note('stopping the servers');
    await this.#servers?.stop();
    removeRun(dataDir);
  }

  /** Everything at once, without a drain. Native servers die with this process. */
  kill(): void {
    for (const { process: app } of this.#apps) app.kill();
    removeRun(this.#options.dataDir);
  }

  async view(): Promise<View> {
    const now = performance.now();
    if (now - this.#serverLinesAt > SERVER_STATUS_MS && this.#servers !== undefined) {
      this.#serverLinesAt = now;
      this.#serverLines = await this.#servers.status();
    }
    return viewOf(this.#run(), this.#serverLines, await readFigures(this.#portOffset));
  }

  async #tidyFormerRun(): Promise<void> {
    const { dataDir, progress } = this.#options;
    const former = readRun(dataDir);
    if (former === undefined) return;
    const { supervisor, startedAt } = former.run;
    if (former.alive) {
      throw new WeirError(
        'WEIR_STATE',
        'fatal',
        `Weir runs already in ${dataDir} (process ${supervisor.pid}, since ${startedAt}). Stop it with \`weir down\`, or look at it with \`weir status\`.`,
      );
    }
    progress.say(
      `The former run (process ${supervisor.pid}) ended without stopping; its apps ended with it. Going on with its data.`,
    );
    await endLeftApps(former.run);
    removeRun(dataDir);
  }

  async #requireAppPorts(): Promise<void> {
    const fleet = this.#options.withFleet ? [{ ...FLEET, portOffset: 0 }] : [];
    await requirePorts(
      [...this.#instances(), ...fleet].flatMap(({ name, port, doors, portOffset }) =>
        [port, ...doors].map((one) => ({
          port: PORTS[one] + this.#portOffset + portOffset,
          owner: `the ${name}`,
        })),
      ),
    );
  }

  #instances(): readonly AppInstance[] {
    return appInstances(this.#options.edges, this.#options.dataDir, this.#portOffset);
  }

  #appEnvironment(file: string | undefined): NodeJS.ProcessEnv {
    const { dataDir } = this.#options;
    return {
      ...process.env,
      ...this.#servers?.env,
      WEIR_EDGE__DIR: process.env.WEIR_EDGE__DIR ?? join(dataDir, 'edge'),
      WEIR_EDGE__SPOOL__DIR: process.env.WEIR_EDGE__SPOOL__DIR ?? join(dataDir, 'edge', 'spool'),
      WEIR_DATA_DIR: dataDir,
      ...(file === undefined ? {} : { WEIR_CONFIG: file }),
    };
  }

  async #applyTopology(config: Config): Promise<void> {
    const { progress } = this.#options;
    await Promise.all(
      topologyParts(config).map((part) => progress.step(`Checking ${part.what}`, () => applyPart(part))),
    );
  }

  async #buildPage(): Promise<void> {
    const sources = dashboardSources();
    if (isDashboardBuilt(sources)) return;
    this.#note('building the dashboard');
    await this.#options.progress.step('Building the dashboard', (detail) => buildDashboard(sources, detail));
  }

  async #startApps(env: NodeJS.ProcessEnv): Promise<void> {
    const { dataDir, progress, withFleet } = this.#options;
    const bound = spawnSync('setpriv', ['--version']).status === 0;
    const launch = (
      spec: AppSpec & { readonly portOffset?: number },
      args: readonly string[],
      more: Readonly<Record<string, string>> = {},
    ): AppProcess => {
      const app = new AppProcess({
        name: spec.name,
        args,
        env: { ...env, ...more },
        bound,
        logFile: join(dataDir, 'logs', `${spec.name}.log`),
        readyUrl: `http://127.0.0.1:${PORTS[spec.port] + this.#portOffset + (spec.portOffset ?? 0)}/readyz`,
        onChange: () => this.#save(),
      });
      this.#apps.push({ spec, process: app });
      progress.begin(app.name, `Starting ${app.name}`);
      app.start();
      return app;
    };
    await Promise.all(
      this.#instances().map((one) =>
        this.#ready(launch(one, appArguments(one.app), { ...appVariables(one.app), ...one.settings })),
      ),
    );
    if (withFleet) await this.#ready(launch(FLEET, fleetArguments(dataDir)));
  }

  async #ready(app: AppProcess): Promise<void> {
    const { progress } = this.#options;
    const deadline = performance.now() + READY_MS;
    while (app.state !== 'ready') {
      if (this.#stopping) return;
      if (performance.now() > deadline || (app.state === 'crashed' && app.restarts === 0)) {
        progress.failed(app.name);
        throw new WeirError(
          'WEIR_STATE',
          'fatal',
          `Starting ${app.name}: it is ${app.state} (${app.detail || 'no reason given'}). Its log is ${app.logFile}.`,
        );
      }
      progress.detail(app.name, app.detail);
      await delay(50);
    }
    progress.done(app.name);
  }

  /** Nothing goes on after a stop was asked for. */
  async #guard<T>(work: Promise<T>): Promise<T> {
    const result = await work;
    if (this.#stopping) throw new WeirError('WEIR_STATE', 'fatal', 'The start was interrupted.');
    return result;
  }

  #serverEnded(name: string, how: string): void {
    if (this.#stopping) return;
    this.#serverLinesAt = Number.NEGATIVE_INFINITY;
    const { progress } = this.#options;
    progress.say(`${name} ended by itself (${how}); starting it again.`);
    const restart = async (): Promise<void> => {
      if (!this.#stopping) await this.#servers?.restart(name);
    };
    retrying(restart, { baseMs: 1_000, maxMs: 15_000, shouldRetry: () => !this.#stopping }).catch(
      (error: unknown) => progress.say(`Starting ${name} again: ${errorMessage(error)}`),
    );
  }

  #note(doing: string): void {
    this.#doing = doing;
    this.#save();
  }

  #save(): void {
    if (this.#state === 'stopping' && this.#doing === '') return;
    writeRun(this.#options.dataDir, this.#run());
  }

  #run(): Run {
    const supervisor = identify(process.pid);
    if (supervisor === undefined) throw new WeirError('WEIR_STATE', 'fatal', 'This process is not in /proc.');
    return {
      supervisor,
      state: this.#state,
      doing: this.#doing,
      servers: this.#servers?.kind ?? 'native',
      portOffset: this.#portOffset,
      edges: this.#options.edges,
      startedAt: this.#startedAt,
      apps: this.#apps.map(({ process: { name, state, detail, pid, restarts, logFile } }) => ({
        name,
        state,
        detail,
        process: pid === undefined ? null : (identify(pid) ?? null),
        restarts,
        logFile,
      })),
    };
  }
}

function fleetArguments(dataDir: string): readonly string[] {
  const fleet = ['--devices', '200', '--rate', '1', '--site', 'plant', '--prefix', 'sensor'];
  return [
    join(ROOT, 'apps/cli/src/main.ts'),
    'fleet',
    'run',
    '--demo',
    '--metrics',
    ...fleet,
    '--data',
    dataDir,
  ];
}
