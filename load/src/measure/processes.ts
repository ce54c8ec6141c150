import { readFileSync } from 'node:fs';

/** Kernel clock ticks a second as /proc shows them (USER_HZ): 100 on every Linux that Node supports. */
const TICKS_PER_SECOND = 100;
const PAGE_MIB = 4_096 / 2 ** 20;

/** What one process has used so far; undefined when it is not there. */
export function processUse(
  pid: number,
): { readonly cpuSeconds: number; readonly rssMiB: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The name may hold spaces and brackets, so fields count from the last `)`; see proc(5).
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return {
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
      rssMiB: Number(fields[21]) * PAGE_MIB,
    };
  } catch {
    return undefined;
  }
}
