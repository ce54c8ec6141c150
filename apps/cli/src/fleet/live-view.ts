import { offeredAt, type Scenario, type Second } from '@weir/load';
import { colored, number, seconds, type Terminal } from '../output.ts';

const LINE_MS = 5_000;
const BARS = '▁▂▃▄▅▆▇█';
const COURSE = 40;
const BAR = 30;

const ms = (value: number | null): string =>
  value === null ? '–' : value < 10 ? `${value.toFixed(1)} ms` : `${number(value)} ms`;

/** Heights of the newest values, the largest of them the highest. */
function sparkline(values: readonly number[]): string {
  const top = Math.max(1, ...values);
  return values
    .map((value) => BARS[Math.min(BARS.length - 1, Math.floor((value / top) * BARS.length))])
    .join('');
}

/** Shows a run while it goes on: a small picture on a terminal, a line every few seconds elsewhere. */
export class LiveView {
  readonly #terminal: Terminal;
  readonly #scenario: Scenario;
  readonly #tty: boolean;
  #drawn = 0;
  #course: Second[] = [];
  #saidAt = Number.NEGATIVE_INFINITY;

  constructor(terminal: Terminal, scenario: Scenario) {
    this.#terminal = terminal;
    this.#scenario = scenario;
    this.#tty = terminal.err.isTTY === true;
  }

  stage(what: string): void {
    this.#clear();
    this.#write(`${what} …`);
  }
  trouble(text: string): void {
    this.#clear();
    this.#write(text);
  }

  second(second: Second): void {
    this.#course = [...this.#course.slice(1 - COURSE), second];
    if (this.#tty) this.#draw(second);
    else if (performance.now() - this.#saidAt >= LINE_MS) {
      this.#saidAt = performance.now();
      this.#write(this.#line(second));
    }
  }

  close(): void {
    this.#clear();
  }

  #line({ at, counts, sentPerSecond, acknowledgedPerSecond, ackP50, ackP99 }: Second): string {
    const behind = counts.waiting === 0 ? '' : `, ${number(counts.waiting)} devices wait`;
    return `${at.toFixed(0)} s: ${number(counts.connected)} connected, ${number(sentPerSecond)}/s sent, ${number(acknowledgedPerSecond)}/s acknowledged, ack p50 ${ms(ackP50)}, p99 ${ms(ackP99)}${behind}`;
  }

  #draw(second: Second): void {
    const { counts, at } = second;
    const length = this.#scenario.duration / 1_000;
    const part = Math.min(1, at / length);
    const filled = Math.round(part * BAR);
    const bar = `${'█'.repeat(filled)}${'░'.repeat(BAR - filled)}`;
    const course = (of: (one: Second) => number) => sparkline(this.#course.map(of));
    const offered = offeredAt(this.#scenario, at * 1_000);
    const lines = [
      `${this.#paint(1, this.#scenario.name)}  ${bar} ${(part * 100).toFixed(0)} %  ${seconds(at * 1_000)} of ${seconds(length * 1_000)}`,
      `  sent          ${number(second.sentPerSecond).padStart(9)}/s of ${number(offered)}/s  ${course((one) => one.sentPerSecond)}`,
      `  acknowledged  ${number(second.acknowledgedPerSecond).padStart(9)}/s  ${course((one) => one.acknowledgedPerSecond)}`,
      `  ack           p50 ${ms(second.ackP50)}, p99 ${ms(second.ackP99)}  ${course((one) => one.ackP99 ?? 0)}`,
      `  connections   ${number(counts.connected)}; ${number(counts.reconnects)} reconnects, ${number(counts.failedDials + counts.refused)} failed dials`,
      `  behind        ${number(counts.waiting)} devices wait; ${number(counts.sentLate)} sent late, ${number(counts.unsent)} unsent`,
    ];
    this.#clear();
    const width = (process.stderr.columns ?? 80) - 1;
    for (const line of lines) this.#write(line.slice(0, width));
    this.#drawn = lines.length;
  }

  #clear(): void {
    if (this.#drawn > 0) this.#terminal.err.write(`\u001b[${this.#drawn}F\u001b[0J`);
    this.#drawn = 0;
  }
  #paint(code: number, text: string): string {
    return colored(this.#terminal.err, this.#terminal.env) ? `\u001b[${code}m${text}\u001b[22m` : text;
  }
  #write(text: string): void {
    this.#terminal.err.write(`${text}\n`);
  }
}
