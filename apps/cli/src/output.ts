import type { Writable } from 'node:stream';
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

/** Where commands write. Results go to `out`, progress and errors to `err`, so that results can be piped. */
export interface Terminal {
  readonly out: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly err: Writable & { readonly isTTY?: boolean };
  readonly env: NodeJS.ProcessEnv;
}

export const realTerminal = (): Terminal => ({ out: process.stdout, err: process.stderr, env: process.env });

export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string | number | null | undefined;
  readonly align?: 'right';
}

/** Text for people and JSON for programs, from the same values. */
export class Output {
  readonly terminal: Terminal;
  readonly #json: boolean;

  constructor(terminal: Terminal, json = false) {
    this.terminal = terminal;
    this.#json = json;
  }

  get json(): boolean {
    return this.#json;
  }

  line(text = ''): void {
    this.terminal.out.write(`${text}\n`);
  }
  note(text: string): void {
    this.terminal.err.write(`${text}\n`);
  }

  /** Prints `value` as one JSON document with --json, else what `text` returns. */
  result(value: unknown, text: () => string): void {
    this.line(this.#json ? JSON.stringify(value, jsonValue, 2) : text());
  }

  style(style: Style, text: string): string {
    return colored(this.terminal.out, this.terminal.env)
      ? styleText(style, text, { validateStream: false })
      : text;
  }
}

export function colored(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && (env.NO_COLOR === undefined || env.NO_COLOR === '');
}

const jsonValue = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value;

/** Columns as wide as their widest cell, numbers to the right. */
export function table<T>(columns: readonly Column<T>[], rows: readonly T[], empty = 'nothing'): string {
  if (rows.length === 0) return empty;
  const cells = rows.map((row) => columns.map(({ value }) => String(value(row) ?? '–')));
  const widths = columns.map(({ title }, i) =>
    Math.max(title.length, ...cells.map((row) => (row[i] as string).length)),
  );
  const render = (row: readonly string[]): string =>
    row
      .map((cell, i) =>
        columns[i]?.align === 'right' ? cell.padStart(widths[i] as number) : cell.padEnd(widths[i] as number),
      )
      .join('  ')
      .trimEnd();
  return [render(columns.map(({ title }) => title)), ...cells.map(render)].join('\n');
}

/** 1234567 → 1,234,567; at most `digits` decimals. */
export function number(value: number, digits = 0): string {
  return value.toLocaleString('en-US', { maximumFractionDigits: digits });
}

/** A figure of a window; a dash where there is none. */
export const figure = (value: number | null): string => (value === null ? '–' : number(value, 4));

export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let rest = value;
  let unit = 0;
  while (rest >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit++;
  }
  return `${unit === 0 ? rest : rest.toFixed(1)} ${units[unit]}`;
}

export function seconds(ms: number): string {
  return ms < 60_000
    ? `${(ms / 1000).toFixed(1)} s`
    : `${Math.floor(ms / 60_000)} m ${Math.round((ms % 60_000) / 1000)} s`;
}
