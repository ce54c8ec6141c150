import { NativeStack, SERVER_NAMES } from '@weir/infra';
import type { Progress } from '../progress.ts';
import type { ServerLine } from './view.ts';

/** The servers of one installation, however they are run. */
export interface Servers {
  readonly kind: 'native' | 'containers';
  start(): Promise<void>;
  /** Starts one server again that ended by itself. */
  restart(name: string): Promise<void>;
  stop(): Promise<void>;
  /** Variables with which apps find them. */
  readonly env: Readonly<Record<string, string>>;
  status(): Promise<readonly ServerLine[]>;
}

export interface NativeOptions {
  readonly dataDir: string;
  readonly portOffset: number;
  readonly progress: Progress;
  /** A server ended by itself. */
  readonly onExit: (name: string, how: string) => void;
}

/** The servers as processes of this machine; they die with this process. */
export function nativeServers({ dataDir, portOffset, progress, onExit }: NativeOptions): Servers {
  const stack = new NativeStack({
    dataDir,
    portOffset,
    onProgress: ({ step, what, state, line }) => {
      if (state === 'started') progress.begin(step, what);
      else if (state === 'done') progress.done(step);
      else if (state === 'progress') progress.detail(step, line ?? '');
      else if (line !== undefined) progress.say(line);
    },
    onExit,
  });
  return {
    kind: 'native',
    start: () => stack.start(),
    restart: (name) => stack.start(SERVER_NAMES.filter((one) => one === name)),
    stop: () => stack.stop(),
    get env() {
      return stack.env;
    },
    async status() {
      return (await stack.status()).map(({ name, title, state, pid, ports, reason }) => ({
        name,
        title,
        state,
        detail: reason ?? '',
        pid: pid ?? null,
        ports,
      }));
    },
  };
}

/** Stops servers that a killed run may have left; does nothing when there are none. */
export async function stopLeftServers(options: Omit<NativeOptions, 'onExit'>): Promise<void> {
  await nativeServers({ ...options, onExit: () => {} }).stop();
}
