import { Command } from 'commander';
import { addGateway } from '../gateway.ts';
import type { Terminal } from '../output.ts';
import { alertsCommand } from './query/alerts.ts';
import { anomalyCommand } from './query/anomaly.ts';
import { devicesCommand } from './query/devices.ts';
import { expressionCommand } from './query/expression.ts';
import { latestCommand } from './query/latest.ts';
import { rollupsCommand } from './query/rollups.ts';
import { seriesCommand } from './query/series.ts';
import { summaryCommand } from './query/summary.ts';
import { viewsCommand } from './query/views.ts';
import { windowsCommand } from './query/windows.ts';

export function queryCommand(terminal: Terminal): Command {
  const command = new Command('query')
    .description('ask the gateway about devices, windows and alerts')
    .addHelpText(
      'after',
      `
Examples:
  $ weir query devices --site plant-1
  $ weir query latest machine-1
  $ weir query summary machine-1 --levels 1m,1h
  $ weir query series machine-1 --metric temperature --points 30
  $ weir query windows machine-1 --metric temperature --level 10s --from 2026-01-31T12:00:00Z
  $ weir query expression machine-1 'power.mean / speed.mean' --level 1m
  $ weir query rollups site=plant-1 --metric temperature --level 1m
  $ weir query views machine-1 --metric temperature --size 5m --hop 10s
  $ weir query anomaly machine-1 --metric temperature --from 2026-01-30T00:00:00Z
  $ weir query alerts --state firing --json`,
    );
  for (const make of [
    devicesCommand,
    latestCommand,
    summaryCommand,
    windowsCommand,
    seriesCommand,
    viewsCommand,
    anomalyCommand,
    expressionCommand,
    rollupsCommand,
    alertsCommand,
  ]) {
    command.addCommand(addGateway(make(terminal)));
  }
  return command;
}
