import { masked, settings, settingsTable } from '@weir/config';
import { Command } from 'commander';
import { Output, type Terminal } from '../output.ts';
import { configFile } from '../paths.ts';
import { effectiveConfig } from '../settings.ts';

export function configCommand(terminal: Terminal): Command {
  const command = new Command('config').description('the configuration that is in effect').addHelpText(
    'after',
    `
Examples:
  $ weir config check
  $ weir config print --json
  $ weir config table edge.limits
  $ WEIR_PORTS__OFFSET=1000 weir config print

weir.yaml (or the file of WEIR_CONFIG), then what \`weir up\` generated, then WEIR_ variables.`,
  );
  command
    .command('print')
    .description('print it with secrets masked')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON')
    .action((options) => {
      const values = masked(effectiveConfig(options.data));
      new Output(terminal, options.json).result(values, () => yamlLike(values, ''));
    });
  command
    .command('check')
    .description('say whether it is valid; touches no network')
    .option('--data <dir>', 'data folder of `weir up`')
    .option('--json', 'print JSON')
    .action((options) => {
      effectiveConfig(options.data);
      const file = configFile() ?? null;
      new Output(terminal, options.json).result(
        { valid: true, file },
        () => `The configuration is valid (${file === null ? 'defaults and WEIR_ variables only' : file}).`,
      );
    });
  command
    .command('table')
    .description('print the reference of all settings, or of those below the given keys')
    .argument('[keys...]', 'for example edge.limits')
    .option('--json', 'print JSON')
    .action((keys: string[], options) => {
      const rows = settings().filter(
        ({ key }) => keys.length === 0 || keys.some((one) => key === one || key.startsWith(`${one}.`)),
      );
      new Output(terminal, options.json).result(rows, () => settingsTable(keys));
    });
  return command;
}

function yamlLike(value: unknown, indent: string): string {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return JSON.stringify(value);
  return Object.entries(value)
    .map(([key, child]) =>
      typeof child === 'object' && child !== null && !Array.isArray(child)
        ? `${indent}${key}:\n${yamlLike(child, `${indent}  `)}`
        : `${indent}${key}: ${JSON.stringify(child)}`,
    )
    .join('\n');
}
