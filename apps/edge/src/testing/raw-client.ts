import { connect, type Socket } from 'node:net';
import { until } from '@weir/testkit';
import mqtt, { type Packet } from 'mqtt-packet';

export interface ConnectOptions {
  readonly clientId: string;
  readonly clean?: boolean;
  /** Seconds. */
  readonly keepalive?: number;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly will?: { topic: string; payload: Buffer; qos?: 0 | 1 | 2; retain?: boolean };
}

const CLEAN_FLAG_AT = 9;

/** A CONNECT, also one that the encoder would not make: a kept session without a client id. */
export function encodeConnect(options: ConnectOptions): Buffer {
  const bytes = mqtt.generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    keepalive: 60,
    ...(options as { clientId: string }),
    clean: true,
  } as Packet);
  if (options.clean === false) bytes[CLEAN_FLAG_AT] = (bytes[CLEAN_FLAG_AT] as number) & ~2;
  return bytes;
}

type Command = Packet['cmd'];
type Of<C extends Command> = Extract<Packet, { cmd: C }>;
const DEADLINE_MS = 5_000;

/** One MQTT connection, packet by packet: a test says exactly what goes out and sees exactly what comes in. */
export class RawClient {
  readonly socket: Socket;
  /** Everything received and not taken yet, in order. */
  readonly inbox: Packet[] = [];
  /** Acknowledge publishes by itself. */
  answers = true;
  #closed = false;
  #nextId = 1;

  private constructor(socket: Socket) {
    this.socket = socket;
    const parser = mqtt.parser({ protocolVersion: 4 });
    parser.on('packet', (packet: Packet) => {
      this.inbox.push(packet);
      if (this.answers) this.#answer(packet);
    });
    parser.on('error', () => socket.destroy());
    socket.on('data', (chunk) => parser.parse(chunk));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
    });
  }

  /** A TCP connection that has not said anything yet. */
  static async open(port: number): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1');
    socket.setNoDelay(true);
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    return new RawClient(socket);
  }

  /** Connects and returns when the CONNACK, whatever it says, is in the inbox. */
  static async connect(port: number, options: ConnectOptions): Promise<RawClient> {
    const client = await RawClient.open(port);
    client.write(encodeConnect(options));
    return client;
  }

  #answer(packet: Packet): void {
    if (packet.cmd === 'publish' && packet.qos === 1)
      this.send({ cmd: 'puback', messageId: packet.messageId! });
    if (packet.cmd === 'publish' && packet.qos === 2)
      this.send({ cmd: 'pubrec', messageId: packet.messageId! });
    if (packet.cmd === 'pubrel') this.send({ cmd: 'pubcomp', messageId: packet.messageId! });
  }

  get isClosed(): boolean {
    return this.#closed;
  }
  id(): number {
    return this.#nextId++;
  }
  send(packet: Packet): void {
    this.socket.write(mqtt.generate(packet));
  }
  write(bytes: Buffer): void {
    this.socket.write(bytes);
  }

  /** The next packet of that kind; the ones before it of another kind stay. */
  async next<C extends Command>(cmd: C): Promise<Of<C>> {
    await until(() => this.inbox.some((packet) => packet.cmd === cmd) || this.#closed, {
      deadlineMs: DEADLINE_MS,
      what: `a ${cmd} packet`,
      everyMs: 1,
    });
    const index = this.inbox.findIndex((packet) => packet.cmd === cmd);
    if (index < 0) throw new Error(`the connection was closed before a ${cmd} packet came`);
    return this.inbox.splice(index, 1)[0] as Of<C>;
  }
  /** The CONNACK's return code. */
  async accepted(): Promise<{ returnCode: number; sessionPresent: boolean }> {
    const { returnCode = -1, sessionPresent } = await this.next('connack');
    return { returnCode, sessionPresent };
  }
  async closed(): Promise<void> {
    await until(() => this.#closed, {
      deadlineMs: DEADLINE_MS,
      what: 'the connection is closed',
      everyMs: 1,
    });
  }

  /** Publishes and returns when the whole QoS flow is over. */
  async publish(
    topic: string,
    payload: string | Buffer,
    options: { qos?: 0 | 1 | 2; retain?: boolean; dup?: boolean; messageId?: number } = {},
  ): Promise<void> {
    const { qos = 1, retain = false, dup = false, messageId = this.id() } = options;
    this.send({ cmd: 'publish', topic, payload, qos, retain, dup, ...(qos > 0 ? { messageId } : {}) });
    if (qos === 1) await this.next('puback');
    if (qos !== 2) return;
    await this.next('pubrec');
    this.send({ cmd: 'pubrel', messageId });
    await this.next('pubcomp');
  }
  /** Returns what each filter was granted. */
  async subscribe(...filters: (readonly [string, 0 | 1 | 2])[]): Promise<readonly number[]> {
    const messageId = this.id();
    this.send({
      cmd: 'subscribe',
      messageId,
      subscriptions: filters.map(([topic, qos]) => ({ topic, qos })),
    });
    return (await this.next('suback')).granted as number[];
  }
  async unsubscribe(...filters: string[]): Promise<void> {
    this.send({ cmd: 'unsubscribe', messageId: this.id(), unsubscriptions: filters });
    await this.next('unsuback');
  }
  /** Everything that came before a round trip ended, as `topic payload qos` of the publishes among it. */
  async received(): Promise<Of<'publish'>[]> {
    this.send({ cmd: 'pingreq' });
    await this.next('pingresp');
    const found = this.inbox.filter((packet): packet is Of<'publish'> => packet.cmd === 'publish');
    for (const packet of found) this.inbox.splice(this.inbox.indexOf(packet), 1);
    return found;
  }
  async disconnect(): Promise<void> {
    this.send({ cmd: 'disconnect' });
    await this.closed();
  }
  /** Ends without DISCONNECT, as a lost network does. */
  drop(): void {
    this.socket.destroy();
  }
}
