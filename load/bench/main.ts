import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorMessage } from '@weir/flow';
import { alerts } from './alerts.ts';
import { anomaly } from './anomaly.ts';
import { drain } from './drain.ts';
import { engine } from './engine.ts';
import { freshness } from './freshness.ts';
import { type Options, readOptions, USAGE, Usage } from './options.ts';
import { pairs } from './pairs.ts';
import { CARRIERS, openPipeline } from './pipeline.ts';
import { budgets, overBudget, renderResult, saveResult } from './report.ts';
import { runPayload } from './run.ts';
import { Weir } from './weir.ts';

type Say = (text: string) => void;

/** Progress goes to standard error, over itself on a terminal. */
function sayer(): Say {
  const live = process.stderr.isTTY === true;
  return (text) => {
    const passing = text.startsWith('  ');
    process.stderr.write(live ? `\r\u001b[2K${text}${passing ? '' : '\n'}` : `${text}\n`);
  };
}

/** Runs `work` in a folder of its own, which stays when it is to be kept and when the work fails. */
async function inFolder(
  keep: boolean,
  say: Say,
  work: (dataDir: string) => Promise<number>,
): Promise<number> {
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const stays = (): void => say(`Data and logs stay in ${dataDir}.`);
  // Servers and apps end with this process.
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => {
      stays();
      process.exit(1);
    });
  try {
    const code = await work(dataDir);
    if (keep) stays();
    else rmSync(dataDir, { recursive: true, force: true });
    return code;
  } catch (error) {
    stays();
    throw error;
  }
}

/** The whole of Weir with one payload after the other. Exit code: 1 when a budget is exceeded. */
async function payloads(options: Options, dataDir: string, say: Say): Promise<number> {
  const weir = new Weir(await openPipeline({ ...options, dataDir, say }));
  let complaints = 0;
  try {
    for (const payload of options.payloads) {
      const third = payload === 'five-metrics' && options.payloads.length > 1;
      const messages = third ? Math.ceil(options.readings / 3) : options.readings;
      const result = await runPayload(weir, { ...options, payload, messages, say });
      process.stdout.write(`${options.json ? JSON.stringify(result) : renderResult(result)}\n`);
      if (options.save) say(`Written to ${saveResult(result, payload)}.`);
      for (const sentence of overBudget(result, budgets().payloads[payload])) {
        complaints++;
        say(`Over budget (${payload}): ${sentence}.`);
      }
    }
  } finally {
    say('Stopping ...');
    await weir.stop();
  }
  return complaints === 0 ? 0 : 1;
}

async function fresh(options: Options, dataDir: string, say: Say): Promise<number> {
  const pipeline = await openPipeline({ ...options, dataDir, say, apps: [...CARRIERS, 'gateway'] });
  try {
    return await freshness(pipeline, { ...options, seconds: options.watch, say });
  } finally {
    say('Stopping ...');
    await pipeline.stop();
  }
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const say = sayer();
  if (options.mode === 'engine') return engine({ ...options, say });
  if (options.mode === 'anomaly') return anomaly({ ...options, say });
  return inFolder(options.keep, say, async (dataDir) => {
    switch (options.mode) {
      case 'peer':
        return pairs({ ...options, payload: 'one-value', messages: options.readings, dataDir, say });
      case 'drain':
        return drain({ ...options, dataDir, say });
      case 'alerts':
        return alerts({ ...options, seconds: options.watch, dataDir, say });
      case 'freshness':
        return fresh(options, dataDir, say);
      default:
        return payloads(options, dataDir, say);
    }
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`bench: ${errorMessage(error)}\n${error instanceof Usage ? USAGE : ''}`);
  process.exitCode = error instanceof Usage ? 2 : 1;
}
