import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** A process as `/proc` knows it: the number alone is reused, number and start time together are not. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot at which the process started. */
  readonly startTime: number;
  /** The boot that `startTime` counts from. */
  readonly boot: string;
}

interface ProcessStat {
  readonly parent: number;
  readonly state: string;
  readonly startTime: number;
  /** User and system time, seconds. */
  readonly cpuSeconds: number;
  /** Of its children that have ended, with theirs. */
  readonly childCpuSeconds: number;
  /** Resident memory. */
  readonly rssMiB: number;
}

/** Kernel clock ticks a second as /proc shows them (USER_HZ): 100 on every Linux that Node supports. */
const TICKS_PER_SECOND = 100;
const PAGE_MIB = 4_096 / 2 ** 20;

export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}

/** Reads `/proc/<pid>/stat`; the name in it may hold spaces and brackets, so fields count from the last `)`. */
export function parseStat(text: string): ProcessStat {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (at: number): number => Number(fields[at]);
  return {
    state: fields[0] ?? '',
    parent: number(1),
    cpuSeconds: (number(11) + number(12)) / TICKS_PER_SECOND,
    childCpuSeconds: (number(13) + number(14)) / TICKS_PER_SECOND,
    startTime: number(19),
    rssMiB: number(21) * PAGE_MIB,
  };
}

/** What one process has used so far, among others; undefined when it is not there. See proc(5). */
export function statOf(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined;
  }
}

/** Whether a process has ended altogether: its first thread may be gone while others still hold files and ports. */
function hasEnded(pid: number, stat: ProcessStat): boolean {
  if (stat.state !== 'Z' && stat.state !== 'X') return false;
  try {
    return readdirSync(`/proc/${pid}/task`).length < 2;
  } catch {
    return true;
  }
}

/** The identity of a living process (a zombie counts as gone). */
export function identify(pid: number): ProcessId | undefined {
  const stat = statOf(pid);
  if (stat === undefined || hasEnded(pid, stat)) return undefined;
  return { pid, startTime: stat.startTime, boot: bootId() };
}

/** Whether exactly this process still lives: a reused number, another boot or a zombie is not it. */
export function isSameProcess(id: ProcessId): boolean {
  const now = identify(id.pid);
  return now !== undefined && now.startTime === id.startTime && now.boot === id.boot;
}

function processNumbers(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

export function childrenOf(pid: number): number[] {
  return processNumbers().filter((other) => statOf(other)?.parent === pid);
}

/** `pid` and everything below it. */
export function familyOf(pid: number): number[] {
  const parents = new Map(processNumbers().map((other) => [other, statOf(other)?.parent]));
  const family = [pid];
  for (const member of family) {
    for (const [other, parent] of parents) if (parent === member) family.push(other);
  }
  return family;
}

export function commandOf(pid: number): string {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').join(' ').trim();
    if (words !== '') return words.length > 120 ? `${words.slice(0, 117)}...` : words;
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return 'unknown';
  }
}

/** Inodes of the sockets that listen on a TCP port, from the text of `/proc/net/tcp` or `tcp6`. */
export function listeningInodes(table: string, port: number): string[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0');
  return table
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(`:${hexPort}`) && columns[3] === '0A')
    .map((columns) => columns[9] ?? '');
}

function readOr(path: string, fallback: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return fallback;
  }
}

function holdsSocket(pid: number, sockets: ReadonlySet<string>): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return sockets.has(readlinkSync(`/proc/${pid}/fd/${fd}`));
      } catch {
        return false;
      }
    });
  } catch {
    return false; // Gone meanwhile, or another user's process.
  }
}

/** The process that listens on a TCP port; undefined when there is none or it may not be seen. */
export function portHolder(port: number): { pid: number; command: string } | undefined {
  const inodes = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) =>
    listeningInodes(readOr(path, ''), port),
  );
  if (inodes.length === 0) return undefined;
  const sockets = new Set(inodes.map((inode) => `socket:[${inode}]`));
  const pid = processNumbers().find((other) => holdsSocket(other, sockets));
  return pid === undefined ? undefined : { pid, command: commandOf(pid) };
}
