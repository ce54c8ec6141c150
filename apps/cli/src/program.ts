import { errorMessage, WeirError } from '@weir/flow';
import { Command, CommanderError } from 'commander';
import manifest from '../../../package.json' with { type: 'json' };
import { alertsCommand } from './commands/alerts.ts';
import { archiveCommand } from './commands/archive.ts';
import { auditCommand } from './commands/audit.ts';
import { commandCommand } from './commands/command.ts';
import { configCommand } from './commands/config.ts';
import { deviceCommand } from './commands/device.ts';
import { dlqCommand } from './commands/dlq.ts';
import { downCommand } from './commands/down.ts';
import { fleetCommand } from './commands/fleet.ts';
import { lagCommand } from './commands/lag.ts';
import { ledgerCommand } from './commands/ledger.ts';
import { queryCommand } from './commands/query.ts';
import { rebuildCommand } from './commands/rebuild.ts';
import { retentionCommand } from './commands/retention.ts';
import { statusCommand } from './commands/status.ts';
import { subscribeCommand, subscriptionsCommand } from './commands/subscribe.ts';
import { topologyCommand } from './commands/topology.ts';
import { traceCommand } from './commands/trace.ts';
import { upCommand } from './commands/up.ts';
import { Finished } from './finished.ts';
import type { Terminal } from './output.ts';

export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

export function buildProgram(terminal: Terminal): Command {
  const program = new Command('weir')
    .description('IoT telemetry pipeline: MQTT in, exact windows, raw archive, alerts and a live page out')
    .version(manifest.version)
    .showHelpAfterError('Run it with --help to see what it takes.')
    .addHelpText(
      'after',
      `
Examples:
  $ weir up                      start servers, apps and a small fleet, and return
  $ weir status --watch          watch the figures
  $ weir device add plant-1 pump-7
  $ weir query windows machine-1 --metric temperature --level 1m
  $ weir down

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
Everything that prints takes --json. NO_COLOR and WEIR_DATA_DIR are honoured.`,
    );
  for (const make of [
    upCommand,
    downCommand,
    statusCommand,
    deviceCommand,
    commandCommand,
    fleetCommand,
    queryCommand,
    subscribeCommand,
    subscriptionsCommand,
    alertsCommand,
    lagCommand,
    ledgerCommand,
    archiveCommand,
    auditCommand,
    dlqCommand,
    traceCommand,
    rebuildCommand,
    retentionCommand,
    topologyCommand,
    configCommand,
  ]) {
    program.addCommand(make(terminal));
  }
  return quietly(program, terminal);
}

/** Commands throw instead of ending the process, and write where they are told to. */
function quietly(command: Command, terminal: Terminal): Command {
  command.exitOverride().configureOutput({
    writeOut: (text) => terminal.out.write(text),
    writeErr: (text) => terminal.err.write(text),
  });
  for (const child of command.commands) {
    child.showHelpAfterError('Run it with --help to see what it takes.');
    quietly(child, terminal);
  }
  return command;
}

/** Runs one command line (without program and script); returns the exit code. Errors are sentences on `err`. */
export async function runCommand(args: readonly string[], terminal: Terminal): Promise<number> {
  try {
    await buildProgram(terminal).parseAsync([...args], { from: 'user' });
    return EXIT.ok;
  } catch (error) {
    if (error instanceof Finished) return error.exitCode;
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    terminal.err.write(`weir: ${errorMessage(error)}\n`);
    if (!(error instanceof WeirError)) terminal.err.write(`${error instanceof Error ? error.stack : ''}\n`);
    return error instanceof WeirError && error.code === 'WEIR_CONFIG_INVALID' ? EXIT.usage : EXIT.failed;
  }
}
