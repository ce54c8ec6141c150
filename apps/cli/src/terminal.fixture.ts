import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { runCommand } from './program.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command line in this process, without a terminal. */
export async function weir(...args: readonly string[]): Promise<Ran> {
  const streams = { out: new PassThrough(), err: new PassThrough() };
  const texts = Promise.all([text(streams.out), text(streams.err)]);
  const code = await runCommand(args, { ...streams, env: {} });
  streams.out.end();
  streams.err.end();
  const [out, err] = await texts;
  return { code, out, err };
}

/** Sets variables of the environment for one test. */
export function withEnvironment(
  scope: { after(tidy: () => void): void },
  variables: Readonly<Record<string, string>>,
): void {
  const before = { ...process.env };
  for (const name of Object.keys(process.env)) if (name.startsWith('WEIR_')) delete process.env[name];
  Object.assign(process.env, variables);
  scope.after(() => {
    process.env = before;
  });
}
