import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Config, loadConfig } from '@weir/config';
import { WeirError } from '@weir/flow';
import { createLogger, type Logger } from '@weir/observe';
import { configFile, dataFolder } from './paths.ts';

/** What is known about a running or former native stack: `stack.json` of its data folder. */
interface StackFile {
  readonly env: Readonly<Record<string, string>>;
}

/** The environment of the servers in `folder`; empty when none were started there. */
export function stackEnvironment(folder: string): Readonly<Record<string, string>> {
  try {
    return (JSON.parse(readFileSync(join(folder, 'stack.json'), 'utf8')) as StackFile).env;
  } catch {
    return {};
  }
}

/**
 * The configuration that the apps of this data folder have: the file, then what `weir up` generated (ports and
 * credentials of its servers), then the caller's own variables.
 */
export function effectiveConfig(data: string | undefined): Config {
  const file = configFile();
  return loadConfig({
    ...(file === undefined ? {} : { file }),
    env: { ...stackEnvironment(dataFolder(data)), ...process.env },
  });
}

/** A logger for connectors that commands use: silent unless something is wrong, and never on standard output. */
export function quietLogger(): Logger {
  const log = createLogger({ app: 'weir', level: 'silent', format: 'json' });
  log.level = 'silent';
  return log;
}

export function usage(message: string): WeirError {
  return new WeirError('WEIR_CONFIG_INVALID', 'fatal', message);
}
