import { Readable } from 'node:stream';
import AsyncLevelPersistence from 'aedes-persistence-level/asyncPersistence.js';
import type { ClassicLevel } from 'classic-level';
import { Holders } from './holders.ts';

type Db = ClassicLevel<string, Buffer>;
interface Subscription {
  readonly topic: string;
  readonly clientId?: string;
}
interface StoredPacket {
  readonly cmd: string;
  messageId?: number;
  dup: boolean;
}
interface PacketRef {
  readonly cmd?: string;
  readonly messageId: number;
}
interface ClientRef {
  readonly id?: string;
  readonly conn?: { destroy(): unknown };
  readonly clientId?: string;
}

const idOf = (key: string): string => decodeURIComponent(key.split(':')[1] ?? '');
const rangeOf = (prefix: string) => ({ gte: prefix, lt: `${prefix.slice(0, -1)};` });

/**
 * Sessions, subscriptions, retained messages, queued messages and QoS 2 state in LevelDB. Adds to the library what
 * the door needs to know, and a bound: a device that stays away must not fill the disk.
 */
export class SessionStore extends AsyncLevelPersistence {
  readonly #db: Db;
  readonly #commandPrefix: string;
  readonly #maxQueued: number;
  /** Stored filters that may match more than commands, `client id / filter`. */
  readonly #wide = new Set<string>();
  readonly #queued = new Map<string, number>();
  readonly #subscribers = new Holders();
  /** Of QoS 2 publishes that were received. */
  readonly #receivers = new Holders();
  readonly #testators = new Holders();
  onQueueFull: (clientId: string) => void = () => {};
  /** A QoS 2 publish was released by PUBREL, or had been before. */
  onReleased: (client: ClientRef, packetId: number) => void = () => {};
  onReadFailed: (error: Error) => void = () => {};
  /** Whether a client may have a subscription; aedes would store the refused ones of a SUBSCRIBE with the others. */
  maySubscribe: (client: ClientRef, filter: string) => boolean = () => true;

  /**
   * @param commandPrefix levels that only commands begin with
   * @param maxQueued messages kept for one client that is away
   */
  constructor(db: Db, commandPrefix: string, maxQueued: number) {
    super(db);
    this.#db = db;
    this.#commandPrefix = commandPrefix;
    this.#maxQueued = maxQueued;
  }

  // aedes insists on an async function here
  override async setup(broker: unknown): Promise<void> {
    await super.setup(broker);
    for await (const key of this.#db.keys(rangeOf('subscriptions:'))) {
      const [, , ...rest] = key.split(':');
      this.#note(idOf(key), rest.join(':'), true);
      this.#subscribers.note(idOf(key));
    }
    for await (const key of this.#db.keys(rangeOf('outgoing:'))) {
      const id = idOf(key);
      this.#queued.set(id, (this.#queued.get(id) ?? 0) + 1);
    }
    for await (const key of this.#db.keys(rangeOf('incoming:'))) this.#receivers.note(idOf(key));
    for await (const key of this.#db.keys(rangeOf('will:'))) this.#testators.note(idOf(key));
  }

  /** Whether a stored session may want something that is not a command. */
  get hasWideSubscriptions(): boolean {
    return this.#wide.size > 0;
  }

  #note(clientId: string, filter: string, present: boolean): void {
    if (this.#commandPrefix !== '' && filter.startsWith(this.#commandPrefix)) return;
    if (present) this.#wide.add(`${clientId}/${filter}`);
    else this.#wide.delete(`${clientId}/${filter}`);
  }

  override async addSubscriptions(client: ClientRef, subscriptions: readonly Subscription[]): Promise<void> {
    const allowed = subscriptions.filter(({ topic }) => this.maySubscribe(client, topic));
    const id = client.id ?? '';
    for (const { topic } of allowed) this.#note(id, topic, true);
    await this.#subscribers.writing(id, () => super.addSubscriptions(client, allowed));
  }
  override async subscriptionsByClient(client: ClientRef): Promise<object[]> {
    return this.#subscribers.has(client.id ?? '') ? await super.subscriptionsByClient(client) : [];
  }
  override async removeSubscriptions(client: ClientRef, topics: readonly string[]): Promise<void> {
    await super.removeSubscriptions(client, topics);
    for (const topic of topics) this.#note(client.id ?? '', topic, false);
  }
  /** [MQTT-3.1.2-6] a clean session also drops what was queued for the one before. */
  override async cleanSubscriptions(client: ClientRef): Promise<void> {
    const id = client.id ?? '';
    await this.#subscribers.removing(id, () => super.cleanSubscriptions(client));
    if (!this.#queued.has(id)) return;
    this.#queued.delete(id);
    await this.#db.clear(rangeOf(`outgoing:${encodeURIComponent(id)}:`));
    await this.#db.clear(rangeOf(`outgoing-id:${encodeURIComponent(id)}:`));
  }

  override async outgoingEnqueue(to: ClientRef, packet: unknown): Promise<void> {
    const id = to.clientId ?? '';
    const queued = this.#queued.get(id) ?? 0;
    if (queued >= this.#maxQueued) {
      this.onQueueFull(id);
      return;
    }
    this.#queued.set(id, queued + 1);
    await super.outgoingEnqueue(to, packet);
  }
  override async outgoingClearMessageId(client: ClientRef, packet: unknown): Promise<unknown> {
    const cleared = await super.outgoingClearMessageId(client, packet);
    const id = client.id ?? '';
    const queued = this.#queued.get(id) ?? 0;
    if (cleared !== undefined && queued > 1) this.#queued.set(id, queued - 1);
    else if (cleared !== undefined) this.#queued.delete(id);
    return cleared;
  }

  /** aedes has no ear for its errors, and the stop may close the database under it. */
  override createRetainedStreamCombi(patterns: readonly string[]): Readable {
    return super.createRetainedStreamCombi(patterns).on('error', this.onReadFailed);
  }

  /** [MQTT-3.3.1-1] what was sent before is sent again with DUP; a packet id tells that it was. */
  override outgoingStream(client: ClientRef): Readable {
    if (!this.#queued.has(client.id ?? '')) return Readable.from([]);
    const stored = super.outgoingStream(client);
    return Readable.from(
      (async function* () {
        for await (const packet of stored as AsyncIterable<StoredPacket>) {
          if (packet.cmd === 'publish' && packet.messageId !== undefined) packet.dup = true;
          yield packet;
        }
      })(),
    );
  }

  override async incomingStorePacket(client: ClientRef, packet: PacketRef): Promise<void> {
    await this.#receivers.writing(client.id ?? '', () => super.incomingStorePacket(client, packet));
  }
  override async cleanIncoming(client: ClientRef): Promise<void> {
    await this.#receivers.removing(client.id ?? '', () => super.cleanIncoming(client));
  }
  override async incomingGetPacket(client: ClientRef, packet: PacketRef): Promise<unknown> {
    try {
      return await super.incomingGetPacket(client, packet);
    } catch (error) {
      // a PUBREL that comes again: the one before it was answered on a connection that is gone
      if (packet.cmd === 'pubrel') this.onReleased(client, packet.messageId);
      throw error;
    }
  }
  override async incomingDelPacket(client: ClientRef, packet: PacketRef): Promise<void> {
    try {
      await super.incomingDelPacket(client, packet);
    } catch (error) {
      // aedes would say PUBCOMP, and what next has this packet id would pass for a repetition
      client.conn?.destroy();
      throw error;
    }
    this.onReleased(client, packet.messageId);
  }

  override async putWill(client: ClientRef, packet: object): Promise<void> {
    await this.#testators.writing(client.id ?? '', () => super.putWill(client, packet));
  }
  /** In one step, so that a stop or a crash right after a DISCONNECT leaves no will behind. */
  override async delWill({ id = '' }: ClientRef): Promise<unknown> {
    await this.#testators.removing(id, () => this.#db.del(`will:${encodeURIComponent(id)}`));
    return undefined;
  }

  /** Packet ids of QoS 2 publishes that were received but not yet released. */
  async unreleased(clientId: string): Promise<number[]> {
    const ids: number[] = [];
    if (!this.#receivers.has(clientId)) return ids;
    for await (const key of this.#db.keys(rangeOf(`incoming:${encodeURIComponent(clientId)}:`))) {
      ids.push(Number(key.slice(key.lastIndexOf(':') + 1)));
    }
    return ids;
  }
}
