import { Command } from 'commander';
import { Finished } from '../finished.ts';
import { Output, type Terminal } from '../output.ts';
import { dataFolder } from '../paths.ts';
import { collectView } from '../supervise/collect.ts';
import { LiveScreen, renderLine, renderScreen } from '../supervise/screen.ts';
import { untilStopped } from '../until-stopped.ts';

interface StatusOptions {
  readonly watch?: boolean;
  readonly data?: string;
  readonly json?: boolean;
}

const WATCH_MS = 2_000;

function watch(terminal: Terminal, output: Output, folder: string): Promise<void> {
  const screen = new LiveScreen((text) => terminal.out.write(text));
  return untilStopped(async () => {
    const view = await collectView(folder);
    if (output.json) output.line(JSON.stringify(view));
    else if (terminal.out.isTTY === true)
      screen.draw([...renderScreen(view, output), '', 'Ctrl-C ends watching.']);
    else output.line(renderLine(view));
    return WATCH_MS;
  });
}

export function statusCommand(terminal: Terminal): Command {
  return new Command('status')
    .description('what runs, where, and how much goes through it')
    .option('--watch', 'go on showing it until Ctrl-C')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON (with --watch one line each time)')
    .addHelpText(
      'after',
      `
Examples:
  $ weir status
  $ weir status --watch
  $ weir status --json | jq .figures.lag

Exit code 0 when everything runs and is ready, 1 otherwise.`,
    )
    .action(async (options: StatusOptions) => {
      const output = new Output(terminal, options.json);
      const folder = dataFolder(options.data);
      if (options.watch === true) return watch(terminal, output, folder);
      const view = await collectView(folder);
      output.result(view, () => renderScreen(view, output).join('\n'));
      if (view.state !== 'running') throw new Finished(1);
    });
}
