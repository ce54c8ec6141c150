import { readdirSync, readFileSync } from 'node:fs';

/** Kernel clock ticks a second as /proc shows them (USER_HZ): 100 on every Linux that Node supports. */
const TICKS_PER_SECOND = 100;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  /** User and system time of the process and of its children that ended. */
  readonly ticks: number;
}

function statOf(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name may hold spaces and brackets, so fields count from the last `)`; see proc(5).
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const ticks = [11, 12, 13, 14].reduce((sum, i) => sum + Number(fields[i]), 0);
    return { pid, parent: Number(fields[1]), ticks };
  } catch {
    return undefined; // It ended meanwhile; its parent has its time.
  }
}

/** CPU seconds of each process with everything below it, by name. */
export function cpuSeconds(roots: ReadonlyMap<string, number>): Map<string, number> {
  const stats = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => statOf(Number(name)))
    .filter((stat) => stat !== undefined);
  const children = Map.groupBy(stats, ({ parent }) => parent);
  const byPid = new Map(stats.map((stat) => [stat.pid, stat]));
  const sum = (pid: number): number =>
    (byPid.get(pid)?.ticks ?? 0) +
    (children.get(pid) ?? []).reduce((total, child) => total + sum(child.pid), 0);
  return new Map([...roots].map(([name, pid]) => [name, sum(pid) / TICKS_PER_SECOND]));
}

/** CPU seconds of the whole machine that were not idle. */
export function busySeconds(): number {
  const [, ...fields] = readFileSync('/proc/stat', 'latin1').split('\n', 1)[0]?.split(/\s+/) ?? [];
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = fields.map(Number);
  return (user + nice + system + irq + softirq) / TICKS_PER_SECOND;
}
