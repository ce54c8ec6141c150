import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import { WeirError } from '@weir/flow';
import type { RunMessage, SenderMessage, SenderOptions, SenderResult } from './sender.ts';

/** It fails when nothing is heard of it for so long. */
const SILENT_MS = 60_000;

interface Waiting {
  readonly resolve: (message: SenderMessage) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

/** The sending process. */
export class Sender {
  readonly process: ChildProcess;
  #waiting: Waiting | undefined;
  #failure: Error | undefined;
  readonly #onProgress: (acknowledged: number) => void;

  constructor(options: SenderOptions, onProgress: (acknowledged: number) => void) {
    this.#onProgress = onProgress;
    this.process = fork(join(import.meta.dirname, 'sender.ts'), [JSON.stringify(options)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.process.on('message', (message: SenderMessage) => {
      this.#waiting?.timer.refresh();
      if (message.kind === 'progress') this.#onProgress(message.acknowledged);
      else if (message.kind === 'failed') this.#fail(message.message);
      else this.#settle()?.resolve(message);
    });
    this.process.on('exit', (code) => this.#fail(`the sender ended with exit code ${code}`));
  }

  async connected(): Promise<void> {
    await this.#next();
  }
  async run(messages: number): Promise<SenderResult> {
    const answer = this.#next();
    this.process.send({ kind: 'run', messages } satisfies RunMessage);
    return (await answer) as SenderResult;
  }
  end(): void {
    this.process.removeAllListeners('exit');
    if (this.process.connected) this.process.disconnect();
  }

  #next(): Promise<SenderMessage> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const silent = `nothing was heard of the sender for ${SILENT_MS / 1_000} s`;
      this.#waiting = { resolve, reject, timer: setTimeout(() => this.#fail(silent), SILENT_MS) };
    });
  }

  /** Whoever waits, who does so no longer. */
  #settle(): Waiting | undefined {
    const waiting = this.#waiting;
    clearTimeout(waiting?.timer);
    this.#waiting = undefined;
    return waiting;
  }

  #fail(message: string): void {
    this.#failure = new WeirError('WEIR_CONNECTION_LOST', 'fatal', `Sending failed: ${message}.`);
    this.#settle()?.reject(this.#failure);
  }
}
