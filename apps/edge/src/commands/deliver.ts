import type { Delivery, Settlement } from '@weir/connect-rabbitmq';
import { errorMessage } from '@weir/flow';
import { commandTopic, isName, LIMITS, type TopicTemplates } from '@weir/reading';
import { COMMAND_EVENTS } from '@weir/topology';
import type { Client } from 'aedes';
import type { EdgeEvents } from '../events.ts';
import type { EventFields } from '../intake/intake.ts';
import type { CommandJournal } from './journal.ts';
import type { CommandSubscribers } from './subscribers.ts';

/** A command as it comes from `weir.commands`. */
interface Command {
  readonly id: string;
  readonly site: string;
  readonly device: string;
  readonly name: string;
  readonly payload: unknown;
  /** Epoch milliseconds. */
  readonly deadline: number;
  /** Milliseconds that were left when it was sent: a wrong clock here does not make it longer. */
  readonly ttl: number;
}

interface Held {
  readonly command: Command;
  readonly topic: string;
  /** `performance.now()` at which it is too late. */
  readonly until: number;
  readonly timer: NodeJS.Timeout;
  settle(settlement: Settlement): void;
  isHandedOver: boolean;
}

export interface DeliverOptions {
  readonly templates: Pick<TopicTemplates, 'commands'>;
  readonly subscribers: CommandSubscribers;
  readonly journal: CommandJournal;
  readonly events: EdgeEvents;
  /** Tells the other edges that this one hands the command over. Rejects when it cannot. */
  readonly claim: (id: string) => Promise<void>;
  /** Records an event for RabbitMQ. */
  readonly report: (site: string, kind: string, fields: EventFields) => void;
  /** Epoch milliseconds. */
  readonly now: () => number;
}

function parseCommand(body: Buffer): Command {
  const command = JSON.parse(body.toString('utf8')) as Command;
  const { id, site, device, name, deadline, ttl } = command;
  const isNamed = isName(site, LIMITS.siteBytes) && isName(device, LIMITS.deviceBytes);
  if (typeof id !== 'string' || !isNamed || !isName(name, LIMITS.metricBytes))
    throw new Error('a command has id, site, device and name');
  if (!Number.isFinite(deadline) || !Number.isFinite(ttl))
    throw new Error('a command has deadline and ttl, milliseconds');
  return command;
}

/**
 * Hands commands to their devices, each at most once. A command waits, unacknowledged in its queue, until its device
 * listens or its time is over. It is written into the journal before the device gets it: what a crash leaves in doubt
 * is not sent again. It travels at QoS 0 on the live connection, because what MQTT itself repeats, or keeps for a
 * session that is away, could come after the deadline; that it arrived is for the device to say.
 */
export class CommandDelivery {
  readonly #options: DeliverOptions;
  readonly #held = new Map<string, Held>();
  #stopped = false;

  constructor(options: DeliverOptions) {
    this.#options = options;
    options.subscribers.onListening = (site, device) => {
      for (const held of this.#held.values()) {
        if (held.command.site === site && held.command.device === device) void this.#tryHandOver(held);
      }
    };
  }

  /** Commands that wait for their device. */
  get waiting(): number {
    return this.#held.size;
  }

  readonly handle = (delivery: Delivery): Promise<Settlement> => {
    const { events, journal, templates, now } = this.#options;
    let command: Command;
    try {
      command = parseCommand(delivery.body);
    } catch (error) {
      events.commandUnreadable(errorMessage(error));
      return Promise.resolve('ack');
    }
    if (journal.has(command.id)) return Promise.resolve('ack');
    const leftMs = Math.min(command.deadline - now(), command.ttl);
    if (leftMs <= 0) {
      events.command('expired');
      return Promise.resolve('ack');
    }
    if (this.#stopped) return Promise.resolve('requeue');
    // It comes again after a lost connection, when the older delivery is void, and from a gateway that is not sure.
    const older = this.#held.get(command.id);
    if (older?.isHandedOver === true) return Promise.resolve('ack');
    older?.settle('ack');
    const { promise, resolve } = Promise.withResolvers<Settlement>();
    const held: Held = {
      command,
      topic: commandTopic(templates, command.site, command.device, command.name),
      until: performance.now() + leftMs,
      timer: setTimeout(() => {
        events.command('expired');
        held.settle('ack');
      }, leftMs),
      settle: (settlement) => {
        clearTimeout(held.timer);
        if (this.#held.get(command.id) === held) this.#held.delete(command.id);
        resolve(settlement);
      },
      isHandedOver: false,
    };
    this.#held.set(command.id, held);
    void this.#tryHandOver(held);
    return promise;
  };

  /** Another edge hands this one over. */
  letGo(id: string): void {
    const held = this.#held.get(id);
    if (held?.isHandedOver === true) return;
    this.#options.journal.takenElsewhere(id);
    held?.settle('ack');
  }

  /** What waits goes back to its queue. */
  stop(): void {
    this.#stopped = true;
    for (const held of [...this.#held.values()]) if (!held.isHandedOver) held.settle('requeue');
  }

  async #tryHandOver(held: Held): Promise<void> {
    const { subscribers, journal, claim, events, report, now } = this.#options;
    const { command, topic } = held;
    const find = (): Client | undefined => subscribers.find(command.site, command.device, topic);
    if (held.isHandedOver || this.#stopped || find() === undefined) return;
    held.isHandedOver = true;
    try {
      await claim(command.id);
      await journal.take(command.id, command.deadline);
    } catch (error) {
      // Without the broker or the disk nothing is handed over; the queue delivers it again.
      events.commandNotTaken(errorMessage(error));
      held.settle('requeue');
      return;
    }
    const client = find();
    if (client === undefined || performance.now() >= held.until) {
      // Claimed, and gone in the same moment: it is reported as not delivered when its time is over.
      events.command(client === undefined ? 'missed' : 'expired');
      held.settle('ack');
      return;
    }
    const body = {
      id: command.id,
      name: command.name,
      deadline: new Date(command.deadline).toISOString(),
      payload: command.payload ?? null,
    };
    await new Promise<void>((resolve) => {
      client.publish(
        {
          cmd: 'publish',
          topic,
          payload: Buffer.from(JSON.stringify(body)),
          qos: 0,
          retain: false,
          dup: false,
        },
        () => resolve(),
      );
    });
    events.command('delivered');
    report(command.site, COMMAND_EVENTS.delivered, { device: command.device, at: now(), id: command.id });
    held.settle('ack');
  }
}
