import { openBroadcast } from '@weir/connect-rabbitmq';
import type { AppContext } from '@weir/lifecycle';
import type { Credentials } from './auth/credentials.ts';
import { exchangeClocks } from './clock/index.ts';
import { startCommands } from './commands/index.ts';
import type { Broker } from './door/broker.ts';
import type { EdgeEvents } from './events.ts';
import { type Forwarders, startForwarders } from './forward/index.ts';
import type { Intake } from './intake/intake.ts';
import { ProgressReporter } from './liveness/index.ts';
import type { Spool } from './spool/index.ts';

export interface OutsideParts {
  readonly spool: Spool;
  readonly intake: Intake;
  readonly broker: Broker;
  readonly events: EdgeEvents;
  /** null: anonymous mode. */
  readonly credentials: Credentials | null;
}

/** What of an edge talks to servers. The doors and the spool work without it. */
export interface Outside extends Pick<Forwarders, 'status' | 'tally' | 'stop'> {
  /** Takes no more commands. */
  stopAccepting(): Promise<void>;
}
export type StartOutside = (context: AppContext, parts: OutsideParts) => Promise<Outside>;

/** Forwards the spool, takes commands for the devices, and keeps its clock together with that of other edges. */
export const startOutside: StartOutside = async (context, parts) => {
  const { spool, intake, broker, events, credentials } = parts;
  const { config, log } = context;
  const broadcast = openBroadcast({
    url: config.rabbitmq.url,
    heartbeatMs: config.rabbitmq.heartbeat,
    name: `weir-edge-${config.edge.id}, broadcast`,
    log,
  });
  const stopClock = exchangeClocks({
    clock: intake.clock,
    edge: intake.edge,
    broadcast,
    onIgnored: (edge) => events.clockIgnored(edge),
  });
  // Somebody who was shut out is out at once, not at the next refresh.
  broadcast.hear('credentials', () => void credentials?.refresh());
  const progress = new ProgressReporter({ intake, alive: broker.alive });
  broadcast.hear('watching', () => progress.watched());
  const commands = await startCommands(context, { broker, intake, events, broadcast });
  broadcast.start();
  const forwarders = startForwarders(context, spool, intake.clock);
  broadcast.hear('throttle', (asked) => forwarders.throttle.hear(asked));
  progress.start();
  return {
    status: forwarders.status,
    tally: forwarders.tally,
    stopAccepting: () => {
      progress.stop();
      return commands.stop();
    },
    stop: async () => {
      stopClock();
      await Promise.all([forwarders.stop(), broadcast.stop()]);
    },
  };
};
