import { Aedes, type AedesOptions, type AedesPublishPacket, type Client, type PublishPacket } from 'aedes';
import mqemitter from 'mqemitter';
import { AliveDevices } from '../liveness/alive-devices.ts';
import type { SessionStore } from './session-store.ts';

/** A publish as the hooks see it. `settled`: delivered to subscribers already, or never to be. */
export interface IncomingPublish {
  readonly cmd?: string;
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly dup?: boolean;
  readonly messageId?: number;
  readonly clientId?: string;
  settled?: boolean;
}
type Done = (error?: Error | null) => void;
type Publish = (packet: PublishPacket, client: Client | null, done: Done) => void;

interface Emitted {
  readonly topic: string;
}

/**
 * aedes waits for every subscriber before a publisher goes on, so that one slow reader would stall all who publish
 * what it reads. Here nobody waits: the gate bounds what a slow reader may leave unread.
 */
function detachedEmitter(onFilter: (filter: string, change: 1 | -1) => void) {
  const emitter = mqemitter({ concurrency: 0, matchEmptyLevels: true });
  const on = emitter.on.bind(emitter);
  const remove = emitter.removeListener.bind(emitter);
  const emit = emitter.emit.bind(emitter);
  return Object.assign(emitter, {
    on(topic: string, notify: unknown, done?: () => void) {
      onFilter(topic, 1);
      return on(topic, notify, done);
    },
    removeListener(topic: string, notify: unknown, done?: () => void) {
      onFilter(topic, -1);
      return remove(topic, notify, done);
    },
    emit(message: Emitted, done?: (error?: Error) => void) {
      emit(message);
      done?.();
      return emitter;
    },
  });
}

/** aedes, with delivery to subscribers taken out of the way of the acknowledgement when nobody subscribes. */
export class Broker extends Aedes {
  readonly alive = new AliveDevices();
  readonly #store: SessionStore;
  readonly #counts: { wide: number };

  constructor(options: AedesOptions, store: SessionStore, commandPrefix: string) {
    const counts = { wide: 0 };
    super({
      ...options,
      persistence: store,
      mq: detachedEmitter((filter, change) => {
        const isCommand = commandPrefix !== '' && filter.startsWith(commandPrefix);
        if (!isCommand && !filter.startsWith('$SYS/')) counts.wide += change;
      }),
    });
    this.#store = store;
    this.#counts = counts;
  }

  /** Whether any subscriber, here or away, may want a topic that is not a command. */
  get hasWideSubscribers(): boolean {
    return this.#counts.wide > 0 || this.#store.hasWideSubscriptions;
  }

  /** The connected client of that id. */
  find(clientId: string): Client | null {
    return (this as unknown as { clients: Record<string, Client | undefined> }).clients[clientId] ?? null;
  }

  /** Retains, queues for those away, and delivers; `done` when what must last is stored. */
  deliver(packet: IncomingPublish, client: Client | null, done: Done): void {
    packet.settled = true;
    (super.publish as unknown as Publish).call(this, packet as unknown as PublishPacket, client, done);
  }

  // aedes calls this after it has acknowledged
  override publish(packet: AedesPublishPacket | PublishPacket, ...rest: unknown[]): void {
    if ((packet as IncomingPublish).settled === true) {
      (rest.at(-1) as Done)(null);
      return;
    }
    (super.publish as unknown as (...args: unknown[]) => void).call(this, packet, ...rest);
  }
}
