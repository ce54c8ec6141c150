import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConfig } from '@weir/config';
import { errorMessage, WeirError } from '@weir/flow';
import { MAX_EDGES } from '@weir/topology';
import { Command } from 'commander';
import { wholeWithin } from '../duration.ts';
import { Output, type Terminal } from '../output.ts';
import { configFile, dataFolder, ROOT } from '../paths.ts';
import { Progress } from '../progress.ts';
import { appInstances } from '../supervise/apps.ts';
import { requireReachable } from '../supervise/blocked-ports.ts';
import { collectView } from '../supervise/collect.ts';
import { readRun } from '../supervise/run-file.ts';
import { LiveScreen, renderLine, renderScreen } from '../supervise/screen.ts';
import { Supervisor } from '../supervise/supervisor.ts';

interface UpOptions {
  readonly foreground?: boolean;
  readonly fleet: boolean;
  readonly edges: string;
  readonly data?: string;
  readonly json?: boolean;
}

const SCREEN_MS = 1_000;
const LINE_MS = 10_000;
const START_MS = 20 * 60_000;

const edgesOf = ({ edges }: UpOptions): number => wholeWithin('--edges', edges, 1, MAX_EDGES);

/** @throws WeirError WEIR_CONFIG_INVALID */
function checkConfig(options: UpOptions): void {
  const file = configFile();
  const { ports } = loadConfig(file === undefined ? {} : { file });
  requireReachable(appInstances(edgesOf(options), dataFolder(options.data), ports.offset), ports.offset);
}

/** Shows the figures until `until` resolves. */
async function watch(terminal: Terminal, supervisor: Supervisor, until: Promise<void>): Promise<void> {
  const output = new Output(terminal);
  const live = terminal.out.isTTY === true;
  const screen = new LiveScreen((text) => terminal.out.write(text));
  let over = false;
  const ended = until.then(() => {
    over = true;
  });
  const first = await supervisor.view();
  if (!live) for (const line of renderScreen(first, output)) output.line(line);
  while (!over) {
    if (live) screen.draw([...renderScreen(await supervisor.view(), output), '', 'Ctrl-C stops everything.']);
    await Promise.race([ended, delay(live ? SCREEN_MS : LINE_MS)]);
    if (!live && !over) output.line(renderLine(await supervisor.view()));
  }
}

async function foreground(terminal: Terminal, options: UpOptions): Promise<void> {
  checkConfig(options);
  const progress = new Progress(terminal);
  const supervisor = new Supervisor({
    dataDir: dataFolder(options.data),
    withFleet: options.fleet,
    edges: edgesOf(options),
    progress,
  });
  let asked = 0;
  const stopAsked = new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.on(signal, () => {
        if (++asked > 1) {
          progress.say('Asked twice: ending everything at once.');
          supervisor.kill();
          process.exit(1);
        }
        progress.say('Stopping. Ask again to end everything at once.');
        resolve();
      });
    }
  });
  let failure: unknown;
  try {
    const started = supervisor.start();
    started.catch(() => {}); // Judged by the race, and after a stop by nobody.
    await Promise.race([started, stopAsked]);
    if (asked === 0) await watch(terminal, supervisor, stopAsked);
  } catch (error) {
    failure = error;
    if (!supervisor.owns) throw error;
    progress.say(`weir: ${errorMessage(error)}`);
  }
  await supervisor.stop();
  progress.say('Everything is stopped.');
  progress.close();
  // A start that was interrupted may still wait for something; nothing of it is left to be done.
  process.exit(failure === undefined ? 0 : 1);
}

/** Copies what the detached supervisor writes while it starts, so that slow steps are seen here too. */
async function follow(file: string, terminal: Terminal, done: () => Promise<boolean>): Promise<void> {
  const fd = openSync(file, 'r');
  const chunk = Buffer.alloc(64 << 10);
  try {
    for (let over = false; ; ) {
      const size = readSync(fd, chunk, 0, chunk.length, null);
      if (size > 0) terminal.err.write(chunk.toString('utf8', 0, size));
      else if (over) return;
      else {
        over = await done();
        if (!over) await delay(100);
      }
    }
  } finally {
    closeSync(fd);
  }
}

async function detached(terminal: Terminal, options: UpOptions): Promise<void> {
  const output = new Output(terminal, options.json);
  const folder = dataFolder(options.data);
  const show = async (): Promise<void> => {
    const view = await collectView(folder);
    output.result(view, () => renderScreen(view, output).join('\n'));
  };
  const former = readRun(folder);
  if (former?.alive === true && former.run.state !== 'stopping') {
    output.note(`Weir runs already (process ${former.run.supervisor.pid}).`);
    await show();
    return;
  }
  checkConfig(options); // A mistake is told here, before anything is started.
  const logs = join(folder, 'logs');
  mkdirSync(logs, { recursive: true });
  const logFile = join(logs, 'supervisor.log');
  const log = openSync(logFile, 'w', 0o600);
  const args = [
    ...['up', '--foreground', '--data', folder, '--edges', String(edgesOf(options))],
    ...(options.fleet ? [] : ['--no-fleet']),
  ];
  const child = spawn(process.execPath, [join(ROOT, 'apps/cli/src/main.ts'), ...args], {
    cwd: ROOT,
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let ended = false;
  child.once('exit', () => {
    ended = true;
  });
  // The start is this command's: Ctrl-C here stops it.
  const interrupt = () => child.kill('SIGTERM');
  process.on('SIGINT', interrupt);
  const deadline = performance.now() + START_MS;
  await follow(logFile, terminal, async () => {
    const run = readRun(folder);
    return (
      ended ||
      performance.now() > deadline ||
      (run?.run.supervisor.pid === child.pid && run?.run.state === 'running')
    );
  });
  process.off('SIGINT', interrupt);
  if (ended) throw new WeirError('WEIR_STATE', 'fatal', `Weir did not start; see above, or ${logFile}.`);
  child.unref();
  await show();
  output.note('`weir status --watch` shows the figures, `weir down` stops everything.');
}

export function upCommand(terminal: Terminal): Command {
  return new Command('up')
    .description('start servers, apps and a small fleet')
    .option('--foreground', 'stay, show the figures, stop everything on Ctrl-C')
    .option('--no-fleet', 'without the virtual devices')
    .option('--edges <n>', 'edge processes; each further one listens 120 ports above the one before', '1')
    .option('--data <dir>', 'data folder (default: .weir, or WEIR_DATA_DIR)')
    .option('--json', 'print the state as JSON when it is up')
    .addHelpText(
      'after',
      `
Examples:
  $ weir up
  $ weir up --foreground --no-fleet
  $ weir up --edges 2 --no-fleet
  $ WEIR_PORTS__OFFSET=1000 weir up --data /var/lib/weir

The first start fetches and builds the servers (minutes); later ones take seconds. Containers are used when
a docker engine answers, else the servers run as processes of this machine, which needs root.
Logs are in <data>/logs.`,
    )
    .action((options: UpOptions) =>
      options.foreground === true ? foreground(terminal, options) : detached(terminal, options),
    );
}
