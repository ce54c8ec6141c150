import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { APP_PORTS, type AppName } from '@weir/topology';
import { plotPairs } from './pairs-plot.ts';
import {
  FIGURES,
  inPairs,
  type PairRun,
  type Pairs,
  type SystemName,
  summarise,
  worseThan,
} from './pairs-result.ts';
import { openPeer } from './peer/peer.ts';
import { openPipeline, type PipelineOptions } from './pipeline.ts';
import { microsecondsEach } from './proc.ts';
import { budgets, listOf, machine, round, savePlot, saveResult } from './report.ts';
import { measure, type RunOptions, type SystemUnderTest } from './system.ts';
import { Weir } from './weir.ts';

export interface PairsOptions
  extends RunOptions,
    Pick<PipelineOptions, 'dataDir' | 'portOffset' | 'profile'> {
  /** Pairs. */
  readonly runs: number;
  /** Keep data and logs of each run, not only of one that fails. */
  readonly keep: boolean;
  readonly json: boolean;
  readonly save: boolean;
}

/**
 * Weir and the peer chain in turns, each time on servers of their own that begin empty. Exit code: 1 when one of them
 * lost a reading or Weir exceeds a budget.
 */
export async function pairs(options: PairsOptions): Promise<number> {
  const { messages, connections, window, devices, payload, say } = options;
  const runs = await inPairs(options.runs, (name, pair) =>
    once(name, `${name === 'weir' ? 'Weir' : 'Peer chain'}, pair ${pair} of ${options.runs}`, options),
  );
  const result: Pairs = {
    date: new Date().toISOString(),
    machine: machine(),
    ...{ payload, messages, connections, window, devices, pairs: runs },
    summary: summarise(runs),
  };
  process.stdout.write(`${options.json ? JSON.stringify(result) : renderPairs(result)}\n`);
  if (options.save) {
    say(`Written to ${saveResult(result, 'pairs')}.`);
    say(`Plotted to ${savePlot(result, 'pairs', plotPairs(result))}.`);
  }
  const complaints = worseThan(result, budgets().pairs);
  for (const sentence of complaints) say(`Over budget (pairs): ${sentence}.`);
  return complaints.length === 0 ? 0 : 1;
}

async function once(name: SystemName, title: string, options: PairsOptions): Promise<PairRun> {
  const { say } = options;
  say(`${title} ...`);
  const dataDir = join(options.dataDir, title.replaceAll(/\W+/g, '-').toLowerCase());
  const system = await open(name, { ...options, dataDir });
  const run = await measured(system, options).finally(() => system.stop());
  if (!options.keep) rmSync(dataDir, { recursive: true, force: true });
  say(
    `${title}: ${round(run.readingsPerSecond, 0)} readings/s, ${round(run.clientMicroseconds)} µs of client CPU each.`,
  );
  return run;
}

async function measured(system: SystemUnderTest, options: PairsOptions): Promise<PairRun> {
  const { messages } = options;
  const { sent, seconds, cpu, clientMiB, lost, duplicates } = await measure(system, options, async () => {});
  const cpuMicroseconds = microsecondsEach(cpu, messages);
  const sum = (names: Iterable<string>): number =>
    [...names].reduce((total, process) => total + (cpuMicroseconds[process] ?? 0), 0);
  return {
    readingsPerSecond: messages / seconds,
    acknowledgedPerSecond: (messages * 1_000) / (sent.lastAckAt - sent.firstSendAt),
    ackP50Ms: sent.ackMs.p50,
    ackP99Ms: sent.ackMs.p99,
    clientMicroseconds: sum(system.clients.keys()),
    allMicroseconds: sum(Object.keys(cpuMicroseconds)),
    clientMiB: Object.values(clientMiB).reduce((total, mib) => total + mib, 0),
    ...{ lost, duplicates, cpuMicroseconds },
    residentMiB: clientMiB,
    cpuBusy: cpu.busy,
    cpuForeign: cpu.foreign,
  };
}

async function open(name: SystemName, options: PairsOptions): Promise<SystemUnderTest> {
  if (name === 'peer') return openPeer(options);
  // Everything that `weir up` runs, and not only what carries a reading.
  const apps = Object.keys(APP_PORTS) as AppName[];
  return new Weir(await openPipeline({ ...options, stackFile: undefined, apps }));
}

function renderPairs({ pairs: runs, summary, messages, connections }: Pairs): string {
  const lines = [
    `pairs: ${round(messages, 0)} readings, one a message, ${connections} connections, QoS 1; medians of ${runs.length} runs, from least to most`,
    `  ${''.padEnd(34)}${'Weir'.padStart(30)}${'peer chain'.padStart(30)}${'Weir : peer'.padStart(13)}`,
  ];
  for (const { key, title, digits } of FIGURES) {
    const { weir, peer, ratio } = summary[key];
    const shown = ({ median, least, most }: typeof weir): string =>
      `${round(median, digits)} (${round(least, digits)} – ${round(most, digits)})`.padStart(30);
    lines.push(`  ${title.padEnd(34)}${shown(weir)}${shown(peer)}${round(ratio.median, 2).padStart(13)}`);
  }
  for (const name of ['weir', 'peer'] as const) {
    const last = runs.at(-1)?.[name];
    if (last === undefined) continue;
    const title = name === 'weir' ? 'Weir' : 'peer chain';
    lines.push(
      `  ${title}, last run: CPU µs/reading ${listOf(last.cpuMicroseconds)}; other programs ${round(last.cpuForeign * 100, 0)} %`,
      `  ${title}, last run: MiB resident ${listOf(last.residentMiB, 0)}; lost ${last.lost}, twice ${last.duplicates}`,
    );
  }
  return lines.join('\n');
}
