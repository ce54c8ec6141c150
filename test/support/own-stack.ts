import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NativeStack } from '@weir/infra';
import { atEnd, type Scope } from '@weir/testkit';

/**
 * Servers that a test may kill: a stack of its own beside the shared one. It becomes the stack of `isolated` in this
 * process, and is stopped and removed when the scope ends.
 * @param portOffset at most 17,000: above that RabbitMQ's management gets a port that Linux hands out to connections,
 *   and one that is killed may find it taken
 */
export async function ownStack(scope: Scope, portOffset: number): Promise<NativeStack> {
  const dataDir = mkdtempSync(join(tmpdir(), 'weir-faults-'));
  const stack = new NativeStack({ dataDir, portOffset });
  const shared = process.env.WEIR_TEST_STACK;
  atEnd(scope, async () => {
    if (shared === undefined) delete process.env.WEIR_TEST_STACK;
    else process.env.WEIR_TEST_STACK = shared;
    await stack.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });
  await stack.start();
  process.env.WEIR_TEST_STACK = stack.stackFile;
  return stack;
}
