import { colored, seconds, type Terminal } from './output.ts';

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 120;
/** Without a terminal a step that takes long says so again, so that a log shows that it lives. */
const REMIND_MS = 15_000;

interface Step {
  readonly what: string;
  readonly began: number;
  line: string;
  remindedAt: number;
}

/**
 * Shows the steps under way: one moving line on a terminal, a line at begin and end elsewhere. Several steps may be
 * under way at a time.
 */
export class Progress {
  readonly #terminal: Terminal;
  readonly #steps = new Map<string, Step>();
  readonly #tty: boolean;
  #timer: NodeJS.Timeout | undefined;
  #frame = 0;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#tty = terminal.err.isTTY === true;
  }

  begin(key: string, what: string): void {
    const now = performance.now();
    this.#steps.set(key, { what, began: now, line: '', remindedAt: now });
    if (!this.#tty) this.#write(`${what} …`);
    this.#timer ??= setInterval(() => this.#tick(), this.#tty ? FRAME_MS : 1_000).unref();
  }

  /** What the step is doing now, as its tool says. */
  detail(key: string, line: string): void {
    const step = this.#steps.get(key);
    if (step !== undefined) step.line = line;
  }

  done(key: string): void {
    this.#end(key, '✔', 'green', 'done');
  }
  failed(key: string): void {
    this.#end(key, '✖', 'red', 'failed');
  }

  /** A sentence between the steps. */
  say(text: string): void {
    this.#clear();
    this.#write(text);
  }

  async step<T>(what: string, work: (detail: (line: string) => void) => Promise<T>): Promise<T> {
    this.begin(what, what);
    try {
      const result = await work((line) => this.detail(what, line));
      this.done(what);
      return result;
    } catch (error) {
      this.failed(what);
      throw error;
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#clear();
    this.#steps.clear();
  }

  #end(key: string, mark: string, color: 'green' | 'red', word: string): void {
    const step = this.#steps.get(key);
    if (step === undefined) return;
    this.#steps.delete(key);
    this.#clear();
    const took = seconds(performance.now() - step.began);
    const painted = colored(this.#terminal.err, this.#terminal.env) ? paint(mark, color) : mark;
    this.#write(this.#tty ? `${painted} ${step.what} (${took})` : `${step.what}: ${word} (${took})`);
    if (this.#steps.size === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  #tick(): void {
    const now = performance.now();
    if (!this.#tty) {
      for (const step of this.#steps.values()) {
        if (now - step.remindedAt < REMIND_MS) continue;
        step.remindedAt = now;
        const line = step.line === '' ? '' : `: ${step.line}`;
        this.#write(`${step.what} (${seconds(now - step.began)} so far)${line}`);
      }
      return;
    }
    const first = this.#steps.values().next().value;
    if (first === undefined) return;
    const others = this.#steps.size > 1 ? ` and ${this.#steps.size - 1} more` : '';
    const frame = FRAMES[this.#frame++ % FRAMES.length];
    const text = `${frame} ${first.what}${others} (${seconds(now - first.began)}) ${first.line}`;
    this.#clear();
    this.#terminal.err.write(text.slice(0, (process.stderr.columns ?? 80) - 1));
  }

  #clear(): void {
    if (this.#tty) this.#terminal.err.write('\r\u001b[2K');
  }
  #write(text: string): void {
    this.#terminal.err.write(`${text}\n`);
  }
}

const paint = (text: string, color: 'green' | 'red'): string =>
  `\u001b[${color === 'green' ? 32 : 31}m${text}\u001b[39m`;
