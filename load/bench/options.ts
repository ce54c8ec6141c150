import { parseArgs } from 'node:util';
import { errorMessage } from '@weir/flow';
import { PAYLOADS, type PayloadName } from './payloads.ts';

export const USAGE = `Usage: npm run bench -- [options]
Sends readings through edge, Kafka, windows, archive and RabbitMQ, all on this machine, and measures. Or instead:

  --peer              all of Weir in turns with the chain mosquitto, Telegraf, Kafka, Telegraf, TimescaleDB (one-value)
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
  --runs N            pairs of --peer, runs of --engine and --drain; the median counts (default 3)
  --anomaly           the anomaly score on labelled recordings, with plots; on synthetic series; with each parameter moved
  --recordings DIR    other recordings for it: CSV files and labels.json in the form of the Numenta Anomaly Benchmark

  --payload NAME      ${PAYLOADS.join(' or ')} (default: one after the other)
  --readings N        messages of the measured run (default 300000; five-metrics: a third of it)
  --warm-up N         messages before it (default 30000)
  --connections N     MQTT connections (default 100)
  --window N          unacknowledged publishes of a connection (default 20)
  --devices N         devices, each at 1 Hz of event time (default 1000)
  --offset N          port offset of the servers and apps it starts (default 7000)
  --stack FILE        stack.json of running servers that nobody else uses, instead of its own (not with --peer, --drain)
  --keep              keep the data and logs (they are kept in any case when it fails)
  --profile           keep a CPU profile of each app beside its log (implies --keep)
  --json              print the results as JSON
  --no-save           do not write load/results
  --help

Exit code 1 when a reading is missing or a budget of load/budgets.json is exceeded.
`;

/** What was asked for cannot be done as it was said; the usage is shown. */
export class Usage extends Error {}

const MODES = ['peer', 'engine', 'drain', 'freshness', 'alerts', 'anomaly'] as const;
export type Mode = (typeof MODES)[number] | 'payloads';

export type Options = ReturnType<typeof readOptions>;

/** @throws Usage */
export function readOptions(args: readonly string[]) {
  const given = parse(args);
  const modes = MODES.filter((mode) => given[mode]);
  if (modes.length > 1) throw new Usage(`--${modes.join(' and --')} cannot be had at once.`);
  const mode: Mode = modes[0] ?? 'payloads';
  const steady = mode === 'freshness' || mode === 'alerts';
  const number = (name: NumberName, min: number, max: number, otherwise: number): number =>
    whole(name, given[name] ?? String(otherwise), min, max);
  const { help, stack, recordings, json, save, profile } = given;
  const options = {
    ...{ mode, help, recordings, json, save, profile },
    keep: given.keep || profile,
    stackFile: stack,
    payloads: payloadsOf(given.payload),
    readings: number('readings', 1_000, 10_000_000, 300_000),
    warmUp: number('warm-up', 0, 1_000_000, 30_000),
    connections: number('connections', 1, 1_000, 100),
    window: number('window', 1, 100, steady ? 100 : 20),
    devices: number('devices', 1, 100_000, steady ? 20_000 : 1_000),
    portOffset: number('offset', 0, 40_000, 7_000),
    hertz: number('hertz', 1, 1_000, 1),
    watch: number('watch', 20, 200, 60),
    series: number('series', 1, 1_000_000, 20_000),
    seconds: number('seconds', 10, 86_400, 150),
    runs: number('runs', 1, 100, 3),
  };
  if (options.devices < options.connections) throw new Usage('--devices is at least --connections.');
  if ((mode === 'peer' || mode === 'drain') && stack !== undefined)
    throw new Usage(`--${mode} starts servers of its own: --stack cannot be given with it.`);
  if (mode === 'peer' && given.payload !== undefined && given.payload !== 'one-value')
    throw new Usage('--peer sends one-value messages.');
  return options;
}

const NUMBERS = [
  ...(['readings', 'warm-up', 'connections', 'window', 'devices', 'offset'] as const),
  ...(['hertz', 'watch', 'series', 'seconds', 'runs'] as const),
];
type NumberName = (typeof NUMBERS)[number];

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        ...(Object.fromEntries(NUMBERS.map((name) => [name, text])) as Record<NumberName, typeof text>),
        ...(Object.fromEntries(MODES.map((name) => [name, flag])) as Record<
          (typeof MODES)[number],
          typeof flag
        >),
        payload: text,
        stack: text,
        recordings: text,
        profile: flag,
        keep: flag,
        json: flag,
        save: { type: 'boolean', default: true },
        help: flag,
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
