import { readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { statOf } from '@weir/infra';

/** Kernel clock ticks a second as /proc shows them (USER_HZ): 100 on every Linux that Node supports. */
const TICKS_PER_SECOND = 100;

type Stat = NonNullable<ReturnType<typeof statOf>> & { readonly pid: number };

/** Root processes by name; each stands for itself and everything below it. */
export type Roots = ReadonlyMap<string, number>;

/** A figure of each root, summed over it and everything below it. */
function sumOverTrees(roots: Roots, figure: (stat: Stat) => number): Map<string, number> {
  const stats = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name): Stat[] => {
      const stat = statOf(Number(name));
      return stat === undefined ? [] : [{ ...stat, pid: Number(name) }]; // It ended meanwhile; its parent has its time.
    });
  const children = Map.groupBy(stats, ({ parent }) => parent);
  const byPid = new Map(stats.map((stat) => [stat.pid, stat]));
  const sum = (stat: Stat): number =>
    figure(stat) + (children.get(stat.pid) ?? []).reduce((total, child) => total + sum(child), 0);
  return new Map(
    [...roots].map(([name, pid]) => {
      const root = byPid.get(pid);
      return [name, root === undefined ? 0 : sum(root)];
    }),
  );
}

/** Largest resident memory so far, MiB, by name; see proc(5), VmHWM. Memory shared within a tree counts twice. */
export function peakMemory(roots: Roots): Record<string, number> {
  const peak = ({ pid }: Stat): number => {
    try {
      return (
        Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) / 1_024
      );
    } catch {
      return 0; // It ended meanwhile.
    }
  };
  return Object.fromEntries(sumOverTrees(roots, peak));
}

/** CPU seconds of the whole machine that were not idle. */
function busySeconds(): number {
  const [, ...fields] = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]?.split(/\s+/) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields.map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}

/** CPU time of some processes and of the machine over a stretch of time. */
export interface CpuUse {
  /** By name. */
  readonly seconds: Readonly<Record<string, number>>;
  /** Of all the machine's CPU time, 0 to 1. */
  readonly busy: number;
  /** Share of the busy time that other programs had, 0 to 1. */
  readonly foreign: number;
}

/** Counts CPU time from its creation on. */
export class CpuMeter {
  readonly #roots: Roots;
  readonly #begin: Reading;

  constructor(roots: Roots) {
    this.#roots = roots;
    this.#begin = read(roots);
  }

  read(): CpuUse {
    const begin = this.#begin;
    const end = read(this.#roots);
    const used = [...this.#roots.keys()].map(
      (name) => [name, (end.cpu.get(name) ?? 0) - (begin.cpu.get(name) ?? 0)] as const,
    );
    const own = used.reduce((sum, [, seconds]) => sum + seconds, 0);
    const busy = end.busy - begin.busy;
    return {
      seconds: Object.fromEntries(used),
      busy: busy / (cpus().length * ((end.at - begin.at) / 1_000)),
      foreign: busy === 0 ? 0 : Math.max(0, 1 - own / busy),
    };
  }
}

interface Reading {
  readonly cpu: ReadonlyMap<string, number>;
  readonly busy: number;
  readonly at: number;
}

function read(roots: Roots): Reading {
  const cpu = sumOverTrees(roots, ({ cpuSeconds, childCpuSeconds }) => cpuSeconds + childCpuSeconds);
  return { cpu, busy: busySeconds(), at: performance.now() };
}

/** µs of CPU by name, for each of `units`. */
export const microsecondsEach = ({ seconds }: CpuUse, units: number): Record<string, number> =>
  Object.fromEntries(Object.entries(seconds).map(([name, used]) => [name, (used * 1e6) / units]));
