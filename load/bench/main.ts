import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { errorMessage } from '@weir/flow';
import { alerts } from './alerts.ts';
import { anomaly } from './anomaly.ts';
import { drain } from './drain.ts';
import { engine } from './engine.ts';
import { freshness } from './freshness.ts';
import { PAYLOADS, type PayloadName } from './payloads.ts';
import { openPipeline } from './pipeline.ts';
import { overBudget, renderResult, saveResult } from './report.ts';
import { runPayload } from './run.ts';
import { Sinks } from './sinks.ts';

const USAGE = `Usage: npm run bench -- [options]
Sends readings through edge, Kafka, windows, archive and RabbitMQ, all on this machine, and measures. Or one part alone:

  --engine            the window engine in memory, with 1,000, 20,000 and 100,000 series
  --drain             the aggregator with a backlog in Kafka; with --series, --seconds and --runs
  --freshness         how soon windows can be read, with readings at a steady rate; with --devices, --hertz and
                      --watch (then 20000 devices at 1 Hz, 100 publishes of a connection unacknowledged)
  --alerts            from the publish of a reading to the webhook of its alert, beside readings at a steady rate;
                      --devices, --hertz, --watch as with --freshness
  --hertz N           readings of each device a second (default 1)
  --watch N           seconds for which windows are watched (default 60)
  --series N          series of the backlog, each at 1 Hz of event time (default 20000)
  --seconds N         event time of the backlog (default 150)
  --runs N            runs of --engine and --drain; the median counts (default 3)
  --anomaly           the anomaly score on labelled recordings, with plots; on synthetic series; with each parameter moved
  --recordings DIR    other recordings for it: CSV files and labels.json in the form of the Numenta Anomaly Benchmark

  --payload NAME      ${PAYLOADS.join(' or ')} (default: one after the other)
  --readings N        messages of the measured run (default 300000; five-metrics: a third of it)
  --warm-up N         messages before it (default 30000)
  --connections N     MQTT connections (default 100)
  --window N          unacknowledged publishes of a connection (default 20)
  --devices N         devices, each at 1 Hz of event time (default 1000)
  --offset N          port offset of the servers and apps it starts (default 7000)
  --stack FILE        stack.json of running servers that nobody else uses, instead of its own
  --keep              keep the data and logs (they are kept in any case when it fails)
  --profile           keep a CPU profile of each app beside its log (implies --keep)
  --json              print the results as JSON
  --no-save           do not write load/results
  --help

Exit code 1 when a reading is missing or a budget of load/budgets.json is exceeded.
`;

class Usage extends Error {}

function options() {
  try {
    return parseArgs({
      options: {
        payload: { type: 'string' },
        readings: { type: 'string', default: '300000' },
        'warm-up': { type: 'string', default: '30000' },
        connections: { type: 'string', default: '100' },
        window: { type: 'string' },
        devices: { type: 'string' },
        offset: { type: 'string', default: '7000' },
        stack: { type: 'string' },
        engine: { type: 'boolean', default: false },
        drain: { type: 'boolean', default: false },
        anomaly: { type: 'boolean', default: false },
        recordings: { type: 'string' },
        freshness: { type: 'boolean', default: false },
        alerts: { type: 'boolean', default: false },
        hertz: { type: 'string', default: '1' },
        watch: { type: 'string', default: '60' },
        series: { type: 'string', default: '20000' },
        seconds: { type: 'string', default: '150' },
        runs: { type: 'string', default: '3' },
        profile: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        save: { type: 'boolean', default: true },
        help: { type: 'boolean', default: false },
      },
      allowNegative: true,
    }).values;
  } catch (error) {
    throw new Usage(errorMessage(error));
  }
}

function whole(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min && value <= max) return value;
  throw new Usage(`--${name} takes a whole number from ${min} to ${max}; got "${text}".`);
}

function payloadsOf(name: string | undefined): readonly PayloadName[] {
  if (name === undefined) return PAYLOADS;
  const found = PAYLOADS.find((payload) => payload === name);
  if (found === undefined) throw new Usage(`--payload is ${PAYLOADS.join(' or ')}; got "${name}".`);
  return [found];
}

/** Progress goes to standard error, over itself on a terminal. */
function sayer(): (text: string) => void {
  const live = process.stderr.isTTY === true;
  return (text) => {
    const passing = text.startsWith('  ');
    process.stderr.write(live ? `\r\u001b[2K${text}${passing ? '' : '\n'}` : `${text}\n`);
  };
}

async function drainOnly(given: ReturnType<typeof options>, runs: number): Promise<number> {
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const say = sayer();
  const keep = given.keep || given.profile;
  try {
    return await drain({
      dataDir,
      portOffset: whole('offset', given.offset, 0, 40_000),
      series: whole('series', given.series, 1, 1_000_000),
      seconds: whole('seconds', given.seconds, 10, 86_400),
      runs,
      profile: given.profile,
      json: given.json,
      save: given.save,
      say,
    });
  } finally {
    if (keep) say(`Data and logs stay in ${dataDir}.`);
    else rmSync(dataDir, { recursive: true, force: true });
  }
}

async function main(): Promise<number> {
  const given = options();
  if (given.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const runs = whole('runs', given.runs, 1, 100);
  if (given.engine) return engine({ runs, json: given.json, save: given.save, say: sayer() });
  if (given.drain) return drainOnly(given, runs);
  if (given.anomaly) {
    const { recordings, json, save } = given;
    return anomaly({ recordings, json, save, say: sayer() });
  }
  const payloads = payloadsOf(given.payload);
  const steady = given.freshness || given.alerts;
  const readings = whole('readings', given.readings, 1_000, 10_000_000);
  const common = {
    warmUp: whole('warm-up', given['warm-up'], 0, 1_000_000),
    connections: whole('connections', given.connections, 1, 1_000),
    window: whole('window', given.window ?? (steady ? '100' : '20'), 1, 100),
    devices: whole('devices', given.devices ?? (steady ? '20000' : '1000'), 1, 100_000),
  };
  if (common.devices < common.connections) throw new Usage('--devices is at least --connections.');
  const say = sayer();
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-bench-'));
  const portOffset = whole('offset', given.offset, 0, 40_000);
  if (given.alerts) {
    const { stack: stackFile, profile, json, save } = given;
    const code = await alerts({
      ...{ ...common, dataDir, stackFile, portOffset, profile, json, save, say },
      hertz: whole('hertz', given.hertz, 1, 1_000),
      seconds: whole('watch', given.watch, 20, 200),
    }).catch((error: unknown) => {
      say(`Data and logs stay in ${dataDir}.`);
      throw error;
    });
    if (given.keep || profile) say(`Data and logs stay in ${dataDir}.`);
    else rmSync(dataDir, { recursive: true, force: true });
    return code;
  }
  const pipeline = await openPipeline({
    dataDir,
    stackFile: given.stack,
    portOffset,
    gateway: given.freshness,
    profile: given.profile,
    say,
  }).catch((error: unknown) => {
    say(`Data and logs stay in ${dataDir}.`);
    throw error;
  });
  const sinks = new Sinks(pipeline);
  let worse = 0;
  let complete = false;
  const stop = async (): Promise<void> => {
    say('Stopping ...');
    await sinks.close();
    await pipeline.stop();
    if (given.keep || given.profile || !complete) say(`Data and logs stay in ${dataDir}.`);
    else rmSync(dataDir, { recursive: true, force: true });
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      void stop().finally(() => process.exit(1));
    });
  }
  try {
    if (given.freshness) {
      worse = await freshness(pipeline, {
        ...common,
        hertz: whole('hertz', given.hertz, 1, 1_000),
        seconds: whole('watch', given.watch, 20, 200),
        json: given.json,
        save: given.save,
        say,
      });
    }
    for (const payload of given.freshness ? [] : payloads) {
      const messages = payload === 'one-value' || payloads.length === 1 ? readings : Math.ceil(readings / 3);
      const result = await runPayload(pipeline, sinks, { ...common, payload, messages, say });
      process.stdout.write(`${given.json ? JSON.stringify(result) : renderResult(result)}\n`);
      if (given.save) say(`Written to ${saveResult(result, payload)}.`);
      for (const sentence of overBudget(result)) {
        worse++;
        say(`Over budget (${payload}): ${sentence}.`);
      }
    }
    complete = true;
  } finally {
    await stop();
  }
  return worse === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`bench: ${errorMessage(error)}\n${error instanceof Usage ? USAGE : ''}`);
  process.exitCode = error instanceof Usage ? 2 : 1;
}
