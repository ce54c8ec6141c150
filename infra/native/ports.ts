import { createServer } from 'node:net';
import { WeirError } from '@weir/flow';
import { PORTS } from '@weir/topology';
import { portHolder } from './proc.ts';
import { until } from './waiting.ts';

export interface PortUse {
  readonly port: number;
  /** Who needs it, for people ("Kafka"). */
  readonly owner: string;
}

/** Whether a loopback port can be listened on right now. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}

export function portBusyMessage(use: PortUse, holder: { pid: number; command: string } | undefined): string {
  const who =
    holder === undefined ? 'a process that could not be found' : `process ${holder.pid} (${holder.command})`;
  return (
    `Port ${use.port}, which ${use.owner} needs, is taken by ${who}. ` +
    'Stop it, or move all of Weir to other ports: WEIR_PORTS__OFFSET=1000.'
  );
}

const DYING_MS = 3_000;

/**
 * A port without a holder belongs to a process that is just ending (a killed former run): it is waited for, up to 3 s.
 * @throws WeirError WEIR_PORT_BUSY naming every port that is taken, its holder and the way out.
 */
export async function requirePorts(uses: readonly PortUse[]): Promise<void> {
  let busy: { use: PortUse; holder: ReturnType<typeof portHolder> }[] = [];
  const settled = async () => {
    const free = await Promise.all(uses.map((use) => isPortFree(use.port)));
    busy = uses.filter((_, index) => !free[index]).map((use) => ({ use, holder: portHolder(use.port) }));
    return busy.every(({ holder }) => holder !== undefined) ? true : undefined;
  };
  await until(settled, { deadlineMs: DYING_MS, everyMs: 100 });
  if (busy.length === 0) return;
  const sentences = busy.map(({ use, holder }) => portBusyMessage(use, holder));
  throw new WeirError('WEIR_PORT_BUSY', 'fatal', sentences.join('\n'));
}

/** @throws WeirError WEIR_CONFIG_INVALID when some port plus the offset is no port. */
export function requireOffset(offset: number): void {
  const highest = Math.max(...Object.values(PORTS));
  if (Number.isInteger(offset) && offset >= 0 && highest + offset <= 65_535) return;
  throw new WeirError(
    'WEIR_CONFIG_INVALID',
    'fatal',
    `The port offset ${offset} is not usable: take a whole number from 0 to ${65_535 - highest}.`,
  );
}
