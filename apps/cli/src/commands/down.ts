import { setTimeout as delay } from 'node:timers/promises';
import { errorMessage, WeirError } from '@weir/flow';
import { isSameProcess } from '@weir/infra';
import { Command } from 'commander';
import { Output, type Terminal } from '../output.ts';
import { dataFolder } from '../paths.ts';
import { Progress } from '../progress.ts';
import { stopLeftServers } from '../supervise/native-servers.ts';
import { endLeftApps, type Run, readRun, removeRun } from '../supervise/run-file.ts';

interface DownOptions {
  readonly data?: string;
  readonly json?: boolean;
}

/** Apps drain within 15 s, ranks one after another, and servers have 20 s. */
const STOP_MS = 90_000;

async function askToStop(folder: string, run: Run, progress: Progress): Promise<'stopped' | 'killed'> {
  const { supervisor } = run;
  process.kill(supervisor.pid, 'SIGTERM');
  const deadline = performance.now() + STOP_MS;
  let doing = '';
  while (isSameProcess(supervisor)) {
    const now = readRun(folder)?.run.doing ?? '';
    if (now !== doing) {
      if (doing !== '') progress.done('stop');
      if (now !== '') progress.begin('stop', now.charAt(0).toUpperCase() + now.slice(1));
      doing = now;
    }
    if (performance.now() > deadline) {
      progress.failed('stop');
      process.kill(supervisor.pid, 'SIGKILL');
      return 'killed';
    }
    await delay(50);
  }
  if (doing !== '') progress.done('stop');
  return 'stopped';
}

export function downCommand(terminal: Terminal): Command {
  return new Command('down')
    .description('stop everything that `weir up` started; the data stays')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ weir down
  $ weir down --data /var/lib/weir

Also cleans up after a run that was killed.`,
    )
    .action(async (options: DownOptions) => {
      const output = new Output(terminal, options.json);
      const folder = dataFolder(options.data);
      const found = readRun(folder);
      if (found === undefined) {
        output.result({ stopped: false }, () => `Nothing of Weir runs in ${folder}.`);
        return;
      }
      const { run, alive } = found;
      const progress = new Progress(terminal);
      try {
        if (alive) {
          const how = await askToStop(folder, run, progress);
          if (how === 'killed') progress.say('It did not stop in time and was killed; cleaning up.');
        } else {
          progress.say(`The run of process ${run.supervisor.pid} was killed before; cleaning up after it.`);
        }
        await endLeftApps(run);
        if (run.servers === 'native') {
          await stopLeftServers({ dataDir: folder, portOffset: run.portOffset, progress });
        }
        removeRun(folder);
      } catch (error) {
        throw new WeirError(
          'WEIR_STATE',
          'fatal',
          `Stopping Weir in ${folder}: ${errorMessage(error)}`,
          error,
        );
      } finally {
        progress.close();
      }
      output.result({ stopped: true }, () => `Weir is stopped. Its data stays in ${folder}.`);
    });
}
