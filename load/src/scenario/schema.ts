import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { duration, nearest, whole } from '@weir/config';
import { WeirError } from '@weir/flow';
import { parse } from 'yaml';
import { z } from 'zod';

const share = () => z.number().min(0).max(1);
const name = () => z.string().regex(/^[a-z][a-z0-9-]{0,30}$/, 'a lower-case name of at most 31 characters');

const model = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('constant'), value: z.number() }),
  z.strictObject({
    kind: z.literal('sine'),
    mean: z.number(),
    amplitude: z.number(),
    period: duration(),
    noise: z.number().min(0).default(0),
  }),
  z.strictObject({
    kind: z.literal('walk'),
    start: z.number(),
    step: z.number().min(0),
    min: z.number(),
    max: z.number(),
  }),
  z.strictObject({ kind: z.literal('steps'), values: z.array(z.number()).min(1), hold: duration() }),
  z.strictObject({ kind: z.literal('recording'), file: z.string() }),
]);
export type ModelSpec = z.output<typeof model>;

const metric = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_-]{1,64}$/, 'letters, digits, - and _ only'),
  unit: z.string().max(16).optional(),
  model: model.default({ kind: 'sine', mean: 20, amplitude: 3, period: 3_600_000, noise: 0.5 }),
});

/** A time of the run and how long it lasts. */
const span = { from: duration(), for: duration() };

const deviceClass = z.strictObject({
  name: name(),
  /** Devices of this class. */
  devices: whole(1, 1_000_000),
  /** Devices that share one connection, as those behind a gateway do. */
  perConnection: whole(1, 100_000).default(1),
  /** Publishes a second of one device. */
  rate: z.number().min(0.0001).max(10_000),
  /** Of the time between two readings, 0 to 1: how far a reading may slip. */
  jitter: share().default(0),
  qos: z.literal([0, 1, 2]).default(1),
  keepalive: duration().prefault('60s'),
  /** Publishes of one connection that may wait for their acknowledgement. */
  window: whole(1, 1_000).default(50),
  /** A reading that could not be sent for so long is given up and counted as unsent. */
  keep: duration().prefault('10m'),
  /** Number of the target, from 1, that all of them use; absent: spread over all. */
  edge: whole(1, 64).optional(),
  metrics: z.array(metric).min(1).max(50),
  connect: z
    .strictObject({
      from: duration().prefault('0s'),
      /** The devices dial one after the other during this time; 0s: all at once. */
      within: duration().prefault('1s'),
      timeout: duration().prefault('30s'),
      /** First and longest pause before a failed connection is tried again; full jitter between. */
      retry: duration().prefault('250ms'),
      retryMax: duration().prefault('5s'),
    })
    .prefault({}),
  /** Factor of the rate at these times, linear between them. */
  ramp: z.array(z.strictObject({ at: duration(), factor: z.number().min(0).max(1_000) })).default([]),
  /** A daily course between `low` and 1, highest at `peak` of each period. */
  diurnal: z.strictObject({ period: duration(), low: share(), peak: duration().prefault('0s') }).optional(),
  bursts: z
    .array(z.strictObject({ ...span, factor: z.number().min(0).max(1_000), every: duration().optional() }))
    .default([]),
  /** Devices that stay connected and say nothing. */
  silent: z.array(z.strictObject({ ...span, share: share() })).default([]),
  /** Connections that are cut again and again, and stay away for `down`. */
  flapping: z.array(z.strictObject({ share: share(), every: duration(), down: duration() })).default([]),
  /** Connections that are away for a time; the readings of it are sent afterwards, or were never taken. */
  offline: z
    .array(z.strictObject({ ...span, share: share(), backfill: z.boolean().default(true) }))
    .default([]),
  /** All of the share lose their connection at once and dial again at once after `away`. */
  storms: z
    .array(z.strictObject({ at: duration(), share: share().default(1), away: duration().prefault('0s') }))
    .default([]),
  /** Wrong clocks: an offset of at most ± `offset`, and a drift of at most ± `drift` (parts per million). */
  clock: z
    .strictObject({
      share: share(),
      offset: duration().prefault('0s'),
      drift: z.number().min(0).max(100_000).default(0),
    })
    .optional(),
  /** Readings that are sent so long after they were due, with the time at which they were due. */
  late: z.strictObject({ share: share(), by: duration() }).optional(),
  /** The same for a few readings' time, so that later ones overtake them. */
  outOfOrder: z.strictObject({ share: share(), by: duration() }).optional(),
  /** Share of readings sent twice. */
  duplicate: share().default(0),
  /** Share of publishes that are no JSON. */
  malformed: share().default(0),
  /** Share of publishes of 300 KiB, for which an edge ends the connection. */
  oversized: share().default(0),
});
export type DeviceClass = z.output<typeof deviceClass>;

const schema = z
  .strictObject({
    name: name(),
    about: z.string().default(''),
    /** The same scenario and seed make the same schedule. */
    seed: whole(0, 0xffff_ffff).default(1),
    duration: duration(),
    /** Latencies before this time are not recorded. */
    warmUp: duration().prefault('0s'),
    /** How long what is due may still be sent and acknowledged after the end. */
    drain: duration().prefault('30s'),
    /** Publishes leave in steps of this time; a longer one costs less, and adds itself to every latency. */
    pace: duration().prefault('2ms'),
    /** Sites over which the devices are spread. */
    sites: whole(1, 10_000).default(1),
    /** Devices at 1 Hz whose readings are looked for in the database and on the WebSocket. */
    probes: whole(0, 200).default(8),
    /** Stretches of the run that have figures of their own: `storm.ack.p99`. */
    phases: z.array(z.strictObject({ name: name(), ...span })).default([]),
    thresholds: z.array(z.string()).default([]),
    classes: z.array(deviceClass).min(1).max(50),
  })
  .superRefine(({ classes, phases, duration: length, warmUp, pace }, context) => {
    const wrong = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message });
    for (const [field, all] of Object.entries({ classes, phases })) {
      const names = all.map((one) => one.name);
      for (const [i, one] of names.entries())
        if (names.indexOf(one) !== i) wrong([field, i, 'name'], `"${one}" stands twice`);
    }
    if (length < 1_000) wrong(['duration'], 'a run lasts at least 1s');
    if (pace < 1 || pace > 1_000) wrong(['pace'], 'the pace is 1ms to 1s');
    if (warmUp >= length) wrong(['warmUp'], 'the warm-up is shorter than the run');
    for (const [i, one] of classes.entries()) {
      if (one.name === PROBE_CLASS) wrong(['classes', i, 'name'], `"${PROBE_CLASS}" is the tool's own`);
      const times = one.ramp.map(({ at }) => at);
      if (times.some((at, k) => k > 0 && at <= (times[k - 1] as number)))
        wrong(['classes', i, 'ramp'], 'times of a ramp grow');
      for (const [k, { every, down }] of one.flapping.entries())
        if (down >= every) wrong(['classes', i, 'flapping', k, 'down'], '`down` is shorter than `every`');
      for (const [k, { every, for: lasts }] of one.bursts.entries())
        if (every !== undefined && every <= lasts)
          wrong(['classes', i, 'bursts', k, 'every'], '`every` is longer than `for`');
      for (const [k, { model: values }] of one.metrics.entries())
        if (values.kind === 'walk' && values.min >= values.max)
          wrong(['classes', i, 'metrics', k, 'model', 'min'], '`min` is below `max`');
      const metrics = one.metrics.map((each) => each.name);
      if (new Set(metrics).size < metrics.length) wrong(['classes', i, 'metrics'], 'a metric stands twice');
    }
  });
export type Scenario = z.output<typeof schema>;

export const PROBE_CLASS = 'probe';
export const PROBE_METRIC = 'probe';
const FOLDER = resolve(import.meta.dirname, '../../scenarios');

const refuse = (message: string, cause?: unknown): WeirError =>
  new WeirError('WEIR_CONFIG_INVALID', 'fatal', message, cause);

/** Names of the scenarios that come with Weir. */
export const scenarioNames = (): string[] =>
  globSync('*.yaml', { cwd: FOLDER })
    .map((file) => basename(file, '.yaml'))
    .sort();

/** The file of a scenario: a path, or the name of one that comes with Weir. */
function fileOf(wanted: string): string {
  if (/[/.]/.test(wanted)) {
    if (existsSync(wanted)) return resolve(wanted);
    throw refuse(`Reading the scenario ${wanted}: there is no such file.`);
  }
  const names = scenarioNames();
  if (names.includes(wanted)) return join(FOLDER, `${wanted}.yaml`);
  const close = nearest(wanted, names);
  const hint = close === undefined ? '' : ` Did you mean ${close}?`;
  throw refuse(`There is no scenario "${wanted}".${hint} Those that come with Weir: ${names.join(', ')}.`);
}

/** Issues of a scenario as sentences, each with its place: `classes.0.rate: …`. */
function sentences(error: z.ZodError): string {
  return error.issues.map(({ path, message }) => `  ${path.join('.') || 'scenario'}: ${message}`).join('\n');
}

/** @throws WeirError WEIR_CONFIG_INVALID naming every mistake and its place. @param folder where recordings lie */
export function parseScenario(text: string, where: string, folder: string): Scenario {
  let tree: unknown;
  try {
    tree = parse(text);
  } catch (error) {
    throw refuse(`Reading the scenario ${where}: it is no YAML: ${(error as Error).message}`, error);
  }
  const parsed = schema.safeParse(tree);
  if (!parsed.success) throw refuse(`Reading the scenario ${where}:\n${sentences(parsed.error)}`);
  const scenario = parsed.data;
  const metrics = scenario.classes.flatMap((one) => one.metrics);
  for (const { model: values } of metrics)
    if (values.kind === 'recording') values.file = resolve(folder, values.file);
  return scenario;
}

export function loadScenario(wanted: string): Scenario {
  const file = fileOf(wanted);
  return parseScenario(readFileSync(file, 'utf8'), wanted, dirname(file));
}

export interface Scale {
  /** Devices of all classes together; each class keeps its share and at least one. */
  readonly devices?: number | undefined;
  /** Factor of all rates. */
  readonly rate?: number | undefined;
  /** Milliseconds. */
  readonly duration?: number | undefined;
  readonly seed?: number | undefined;
}

/** After the last device has dialed. */
const SETTLED_MS = 5_000;

/**
 * The scenario with another size. Times within it stay as they are, but for this: more devices dial at the same rate as
 * before, so for longer, and the warm-up lasts until they are there.
 */
export function scaled(scenario: Scenario, { devices, rate = 1, duration: length, seed }: Scale): Scenario {
  const count = scenario.classes.reduce((sum, one) => sum + one.devices, 0);
  const factor = devices === undefined ? 1 : devices / count;
  const longer = Math.max(1, factor);
  const time = length ?? scenario.duration;
  const dialed = Math.max(...scenario.classes.map(({ connect }) => connect.from + connect.within * longer));
  const warmUp = longer > 1 ? Math.max(scenario.warmUp, dialed + SETTLED_MS) : scenario.warmUp;
  return {
    ...scenario,
    seed: seed ?? scenario.seed,
    duration: time,
    warmUp: Math.min(warmUp, time / 2),
    classes: scenario.classes.map((one) => ({
      ...one,
      devices: Math.max(1, Math.round(one.devices * factor)),
      rate: one.rate * rate,
      connect: { ...one.connect, within: one.connect.within * longer },
    })),
  };
}
