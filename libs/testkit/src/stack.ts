import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { WeirError } from '@weir/flow';

/** Root of the checkout. */
export const CHECKOUT = resolve(import.meta.dirname, '../../..');

export type TestServer = 'kafka' | 'rabbitmq' | 'timescale' | 'minio' | 'redis';
export const TEST_SERVERS: readonly TestServer[] = ['kafka', 'rabbitmq', 'timescale', 'minio', 'redis'];

/** A running stack, as the native stack describes itself in its `stack.json`. */
export interface TestStack {
  readonly portOffset: number;
  readonly dataDir: string;
  readonly pids: Readonly<Partial<Record<TestServer, number>>>;
  /** The `WEIR_…` variables with which apps find the servers. */
  readonly env: Readonly<Record<string, string>>;
}

const stackFile = (): string => process.env.WEIR_TEST_STACK || join(CHECKOUT, '.weir-test', 'stack.json');
const START = 'node_modules/.bin/node infra/native/dev-stack.ts --data .weir-test --offset 12000';

function addressOf(server: TestServer, env: TestStack['env']): URL {
  const variable = { rabbitmq: 'RABBITMQ', timescale: 'TIMESCALE', minio: 'MINIO', redis: 'REDIS' };
  if (server === 'kafka') return new URL(`kafka://${env.WEIR_KAFKA__BROKERS?.split(',')[0]}`);
  return new URL(env[`WEIR_${variable[server]}__URL`] ?? 'missing://');
}

function accepts(address: URL): Promise<boolean> {
  return new Promise((answer) => {
    const socket = connect({ host: address.hostname, port: Number(address.port) });
    const end = (accepted: boolean) => {
      socket.destroy();
      answer(accepted);
    };
    socket.setTimeout(2_000, () => end(false));
    socket.once('error', () => end(false));
    socket.once('connect', () => end(true));
  });
}

/**
 * The servers for tests: those of the file that WEIR_TEST_STACK names, else of `.weir-test/stack.json` in the
 * checkout. Tests that need servers fail when one is missing; they are never skipped.
 * @throws WeirError WEIR_CONNECT_FAILED with the list of what is missing and the command that starts it.
 */
export async function testStack(servers: readonly TestServer[] = TEST_SERVERS): Promise<TestStack> {
  const file = stackFile();
  let stack: TestStack;
  try {
    stack = JSON.parse(readFileSync(file, 'utf8')) as TestStack;
  } catch (error) {
    throw new WeirError(
      'WEIR_CONNECT_FAILED',
      'fatal',
      `This test needs real servers (${servers.join(', ')}) and ${file} does not describe any.\n` +
        `Start them: ${START}`,
      error,
    );
  }
  const up = await Promise.all(servers.map((server) => accepts(addressOf(server, stack.env))));
  const missing = servers.filter((_, index) => !up[index]);
  if (missing.length === 0) return stack;
  const lines = missing.map(
    (server) => `  ${server} does not answer on ${addressOf(server, stack.env).host}`,
  );
  throw new WeirError(
    'WEIR_CONNECT_FAILED',
    'fatal',
    `Servers that this test needs are missing:\n${lines.join('\n')}\nStart them: ${START}`,
  );
}
