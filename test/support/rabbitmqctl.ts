import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { NativeStack } from '@weir/infra';

const run = promisify(execFile);

/** RabbitMQ's own command line on a node of a native stack, in the file system that the node lives in. */
export async function rabbitmqctl(stack: NativeStack, ...args: string[]): Promise<string> {
  const pid = stack.pid('rabbitmq');
  if (pid === undefined) throw new Error('RabbitMQ does not run');
  const inherited = readFileSync(`/proc/${pid}/environ`, 'utf8')
    .split('\0')
    .filter((entry) => /^(PATH|HOME|LANG|ERL_EPMD_PORT|RABBITMQ_NODENAME)=/.test(entry));
  const enter = ['--target', String(pid), '--mount', '--root', '--wd=/'];
  const { stdout } = await run('nsenter', [
    ...[...enter, 'env', '--ignore-environment', ...inherited],
    ...['rabbitmqctl', '--node', 'weir@localhost', ...args],
  ]);
  return stdout;
}
