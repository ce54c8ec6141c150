import { destination, type Logger, pino } from 'pino';
import { PinoPretty } from 'pino-pretty';

export type { Logger } from 'pino';

export interface LogOptions {
  readonly app: string;
  readonly level: string;
  readonly format: 'auto' | 'json' | 'pretty';
}

/** JSON lines on standard output; readable text on a terminal. `LOG_LEVEL` wins over the configuration. */
export function createLogger({ app, level, format }: LogOptions): Logger {
  const options = {
    level: process.env.LOG_LEVEL ?? level,
    base: { app },
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  const pretty = format === 'pretty' || (format === 'auto' && process.stdout.isTTY === true);
  if (!pretty) return pino(options, destination({ dest: 1, sync: false }));
  const color = process.env.NO_COLOR === undefined && process.stdout.isTTY === true;
  return pino(
    options,
    PinoPretty({ colorize: color, ignore: 'app', messageFormat: '{app}: {msg}', sync: true }),
  );
}

/** At most one call of `write` per `intervalMs` for each key; the next one says how many were held back. */
export function rateLimited(intervalMs = 10_000): (key: string, write: (suppressed: number) => void) => void {
  const seen = new Map<string, { at: number; suppressed: number }>();
  return (key, write) => {
    const now = performance.now();
    const entry = seen.get(key);
    if (entry !== undefined && now - entry.at < intervalMs) {
      entry.suppressed++;
      return;
    }
    seen.set(key, { at: now, suppressed: 0 });
    write(entry?.suppressed ?? 0);
  };
}
