import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { WeirError } from '@weir/flow';
import type { RunMessage, SenderMessage, SenderOptions, SenderResult } from './sender.ts';

const CONNECT_MS = 30_000;
const SEND_MS = 240_000;

/** The sending process. */
export class Sender {
  readonly process: ChildProcess;
  #waiting: { resolve: (message: SenderMessage) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;
  readonly #onProgress: (acknowledged: number) => void;

  constructor(options: SenderOptions, onProgress: (acknowledged: number) => void) {
    this.#onProgress = onProgress;
    this.process = fork(join(import.meta.dirname, 'sender.ts'), [JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.process.on('message', (message: SenderMessage) => {
      if (message.kind === 'progress') this.#onProgress(message.acknowledged);
      else if (message.kind === 'failed') this.#fail(message.message);
      else this.#waiting?.resolve(message);
    });
    this.process.on('exit', (code) => this.#fail(`the sender ended with exit code ${code}`));
  }

  async connected(): Promise<void> {
    await this.#next(CONNECT_MS);
  }
  async run(messages: number): Promise<SenderResult> {
    const answer = this.#next(SEND_MS);
    this.process.send({ kind: 'run', messages } satisfies RunMessage);
    return (await answer) as SenderResult;
  }
  end(): void {
    this.process.removeAllListeners('exit');
    if (this.process.connected) this.process.disconnect();
  }

  #next(deadlineMs: number): Promise<SenderMessage> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => this.#fail(`it did not finish within ${deadlineMs / 1_000} s`),
        deadlineMs,
      );
      const settle =
        <T>(act: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer);
          this.#waiting = undefined;
          act(value);
        };
      this.#waiting = { resolve: settle(resolve), reject: settle(reject) };
    });
  }

  #fail(message: string): void {
    this.#failure = new WeirError('WEIR_CONNECTION_LOST', 'fatal', `Sending failed: ${message}.`);
    this.#waiting?.reject(this.#failure);
  }
}
