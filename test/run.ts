import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { errorMessage } from '@weir/flow';
import { NativeStack, type Progress } from '@weir/infra';
import { ensureChromium } from './chromium.ts';
import { LAYERS, type Layer, STATIC_STEPS, type Step } from './layers.ts';

const root = join(import.meta.dirname, '..');
process.chdir(root);

/** Clear of the default installation and of ephemeral ports, so that tests run beside `npm start`. */
const PORT_OFFSET = 12_000;
const dataDir = join(root, '.weir-test');

interface Counts {
  tests: number;
  passed: number;
  failed: number;
  skipped: number;
  todo: number;
  cancelled: number;
}
interface Row {
  readonly title: string;
  readonly ok: boolean;
  readonly seconds: number;
  readonly note: string;
}

const rows: Row[] = [];
const total: Counts = { tests: 0, passed: 0, failed: 0, skipped: 0, todo: 0, cancelled: 0 };
const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

async function timed(title: string, work: () => Promise<{ ok: boolean; note: string }>): Promise<boolean> {
  say(`\n▶ ${title}`);
  const started = performance.now();
  const { ok, note } = await work().catch((error: unknown) => ({ ok: false, note: errorMessage(error) }));
  const seconds = (performance.now() - started) / 1_000;
  rows.push({ title, ok, seconds, note });
  say(`${ok ? '✔' : '✖'} ${title} (${seconds.toFixed(1)} s)${ok ? '' : `: ${note}`}`);
  return ok;
}

function runStep(step: Step): Promise<{ ok: boolean; note: string }> {
  const command = step.bin === undefined ? process.execPath : join('node_modules', '.bin', step.bin);
  return new Promise((resolve) => {
    const child = spawn(command, step.arguments, { stdio: ['ignore', 'inherit', 'inherit'] });
    child.on('error', (error) => resolve({ ok: false, note: error.message }));
    child.on('exit', (code) => resolve({ ok: code === 0, note: `exit code ${code}` }));
  });
}

async function runLayer(layer: Layer): Promise<{ ok: boolean; note: string }> {
  if (layer.files.length === 0) return { ok: false, note: 'no test file matches this layer' };
  const counts: Counts = { tests: 0, passed: 0, failed: 0, skipped: 0, todo: 0, cancelled: 0 };
  const stream = run({
    files: layer.files.map((file) => join(root, file)),
    concurrency: layer.concurrency,
    timeout: 900_000,
  });
  stream.on('test:summary', (summary) => {
    if (summary.file !== undefined) return;
    counts.tests = summary.counts.tests;
    counts.passed = summary.counts.passed;
    counts.failed =
      summary.counts.tests -
      summary.counts.passed -
      summary.counts.skipped -
      summary.counts.todo -
      summary.counts.cancelled;
    counts.skipped = summary.counts.skipped;
    counts.todo = summary.counts.todo;
    counts.cancelled = summary.counts.cancelled;
  });
  await pipeline(stream, new spec(), async (source: AsyncIterable<string | Buffer>) => {
    for await (const chunk of source) process.stdout.write(chunk);
  });
  for (const key of Object.keys(total) as (keyof Counts)[]) total[key] += counts[key];
  const bad = counts.failed + counts.cancelled + counts.skipped + counts.todo;
  return { ok: bad === 0 && counts.passed > 0, note: `${counts.passed} of ${counts.tests} passed` };
}

function progress({ step, what, state, elapsedMs }: Progress): void {
  if (state === 'progress') return;
  say(
    `  ${(elapsedMs / 1_000).toFixed(0).padStart(4)} s  ${step}: ${what}${state === 'started' ? '' : ` (${state})`}`,
  );
}

async function withServers(work: () => Promise<void>): Promise<void> {
  rmSync(dataDir, { recursive: true, force: true });
  const stack = new NativeStack({ dataDir, portOffset: PORT_OFFSET, onProgress: progress });
  const stop = async (): Promise<void> => {
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  };
  const interrupted = (signal: NodeJS.Signals): void => {
    say(`\n${signal}: stopping the servers of the tests`);
    stop().then(
      () => process.exit(130),
      () => process.exit(1),
    );
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  const up = await timed('servers of the tests', async () => {
    await stack.start();
    process.env.WEIR_TEST_STACK = join(dataDir, 'stack.json');
    return { ok: true, note: '' };
  });
  try {
    if (up) await work();
  } finally {
    await timed('servers stopped', async () => {
      await stop();
      return { ok: true, note: '' };
    });
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

function summary(): boolean {
  const ok = rows.every((row) => row.ok) && rows.length > 0;
  say('\n');
  for (const row of rows)
    say(`${row.ok ? '✔' : '✖'} ${row.title.padEnd(44)} ${row.seconds.toFixed(1).padStart(7)} s  ${row.note}`);
  const seconds = rows.reduce((sum, row) => sum + row.seconds, 0);
  say('');
  say(`ℹ tests ${total.tests}`);
  say(`ℹ pass ${total.passed}`);
  say(`ℹ fail ${total.failed}`);
  say(`ℹ cancelled ${total.cancelled}`);
  say(`ℹ skipped ${total.skipped}`);
  say(`ℹ todo ${total.todo}`);
  say(`ℹ duration_ms ${(seconds * 1_000).toFixed(0)}`);
  return ok;
}

const KNOWN = ['static', ...LAYERS.map(({ name }) => name)];
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !KNOWN.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`There is no test layer "${unknown.join(', ')}". Layers: ${KNOWN.join(', ')}.\n`);
  process.exit(2);
}
const asked = (name: string): boolean => wanted.length === 0 || wanted.includes(name);

if (asked('static')) {
  for (const step of STATIC_STEPS) await timed(step.name, () => runStep(step));
}
const layers = LAYERS.filter(({ name }) => asked(name));
for (const layer of layers.filter(({ needsServers }) => !needsServers))
  await timed(layer.title, () => runLayer(layer));
const onServers = layers.filter(({ needsServers }) => needsServers);
if (asked('it')) await timed('a browser for the page tests', async () => ensureChromium());
if (onServers.length > 0) {
  // A stack that somebody else started and named is used as it is, for quick repeated runs.
  const runAll = async (): Promise<void> => {
    for (const layer of onServers) await timed(layer.title, () => runLayer(layer));
  };
  if (process.env.WEIR_TEST_STACK === undefined) await withServers(runAll);
  else await runAll();
}
process.exitCode = summary() ? 0 : 1;
