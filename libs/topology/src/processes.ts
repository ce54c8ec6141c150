import type { PortName } from './ports.ts';

/** Every app that runs as a process, and the port of its admin paths. */
export const APP_PORTS = {
  edge: 'edgeHttp',
  aggregator: 'aggregatorHttp',
  archiver: 'archiverHttp',
  alerter: 'alerterHttp',
  'dead-letters': 'deadLettersHttp',
  'lag-monitor': 'lagMonitorHttp',
  gateway: 'gateway',
} as const satisfies Record<string, PortName>;
export type AppName = keyof typeof APP_PORTS;

/**
 * V8 doubles its young generation under load (16 MiB to 64 MiB and more) and seldom gives it back. The edge promises to
 * stay within 20 MiB of its size when its brokers are away. Measured with 200 devices at 10 Hz against a full spool:
 * it grew by 80 MiB with V8's own limits, by 1 MiB with this one; collections take 19 % of its CPU at full load then, 8 % without. The aggregator, reading a backlog of
 * 600,000 readings: 410 MiB at its peak with V8's own limits, 314 MiB with this one, for 5 % more CPU. Its old generation
 * would grow to more than twice of what lives before it is collected: with 100,000 series and a slow database 463 MiB
 * resident, 371 MiB when it may grow by 40 %, for 2 % more CPU.
 */
const NODE_FLAGS: Readonly<Partial<Record<AppName, readonly string[]>>> = {
  edge: ['--max-semi-space-size=8'],
  aggregator: ['--max-semi-space-size=8', '--heap-growing-percent=40'],
  'dead-letters': ['--max-semi-space-size=8'],
};

/**
 * glibc gives an array of 64 KiB a mapping of its own, and one that is freed back to the kernel; but with each that is
 * freed it raises that size, up to 32 MiB, unless it is set. The aggregator's columns grow by copies, which then leave
 * holes. Measured with 100,000 series, without servers: 384 MiB without it, 319 MiB with it. With 128 KiB, its own
 * default, answers of Kafka and rows on their way to PostgreSQL still made holes of 40 to 60 MiB. One arena instead of
 * one for each thread: 391 and 404 MiB instead of 405 to 446 at the end of a backlog of 100,000 series.
 */
const ENVIRONMENT: Readonly<Partial<Record<AppName, Readonly<Record<string, string>>>>> = {
  aggregator: { MALLOC_MMAP_THRESHOLD_: '65536', MALLOC_ARENA_MAX: '1' },
};

/** Variables of an app beside its settings. */
export function appVariables(app: AppName): Readonly<Record<string, string>> {
  return ENVIRONMENT[app] ?? {};
}

/** Arguments of node that run an app, relative to the checkout. */
export function appArguments(app: AppName): string[] {
  return [...(NODE_FLAGS[app] ?? []), `apps/${app}/src/main.ts`];
}
