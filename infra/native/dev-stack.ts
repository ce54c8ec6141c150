import { parseArgs } from 'node:util';
import { errorMessage } from '@weir/flow';
import type { Progress } from './run.ts';
import { NativeStack } from './stack.ts';

const USAGE = `Usage: node infra/native/dev-stack.ts --data DIR [--offset N] [--stop | --status]
Starts the servers in DIR and leaves them running, stops them, or shows their state.
`;

function print({ step, what, state, elapsedMs, line }: Progress): void {
  const seconds = `${(elapsedMs / 1000).toFixed(1)} s`;
  if (state === 'note') process.stderr.write(`${line}\n`);
  else if (state !== 'progress')
    process.stderr.write(`${step}: ${what} ${state === 'done' ? `done (${seconds})` : '...'}\n`);
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      data: { type: 'string' },
      offset: { type: 'string', default: '0' },
      stop: { type: 'boolean', default: false },
      status: { type: 'boolean', default: false },
    },
  });
  if (values.data === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  const stack = new NativeStack({
    dataDir: values.data,
    portOffset: Number(values.offset),
    supervised: false,
    onProgress: print,
  });
  if (values.stop) await stack.stop();
  else if (values.status) process.stdout.write(`${JSON.stringify(await stack.status(), null, 2)}\n`);
  else {
    await stack.start();
    process.stdout.write(`${stack.stackFile}\n`);
  }
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`${errorMessage(error)}\n`);
  process.exitCode = 1;
}
