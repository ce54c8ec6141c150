import { existsSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * Loaded before an app (`node --import`), so that a test can make its disk slow, and lead its connections to Kafka, which
 * tells its clients its own address, over a wire:
 *
 * - `IMPAIR_SLOW_DISK`: a file; while it is there, each fdatasync takes so many milliseconds longer as it says;
 * - `IMPAIR_REDIRECT`: `from:to`; connections to the port `from` go to the port `to`.
 */
const { IMPAIR_SLOW_DISK: slowDisk, IMPAIR_REDIRECT: redirect } = process.env;

if (slowDisk !== undefined) {
  const handle = await open(import.meta.filename);
  const files = Object.getPrototypeOf(handle) as typeof handle;
  await handle.close();
  const { datasync } = files;
  files.datasync = async function slowly() {
    if (existsSync(slowDisk)) await delay(Number(readFileSync(slowDisk, 'utf8')));
    return datasync.call(this);
  };
}

if (redirect !== undefined) {
  const [from, to] = redirect.split(':').map(Number);
  const { connect } = Socket.prototype;
  Socket.prototype.connect = function redirected(this: Socket, ...args: unknown[]): Socket {
    // `net.connect` hands its arguments on as one list
    const options = (Array.isArray(args[0]) ? args[0][0] : args[0]) as { port?: number | string } | undefined;
    if (typeof options === 'object' && Number(options.port) === from) options.port = to as number;
    return connect.apply(this, args as Parameters<typeof connect>);
  } as typeof connect;
}
