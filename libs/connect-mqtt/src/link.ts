import { connect, type Socket } from 'node:net';
import { WeirError } from '@weir/flow';
import { generate } from 'mqtt-packet';
import { encodeAck, encodePublish, FrameReader, PACKET, type PublishOptions } from './frames.ts';

export interface LinkOptions {
  readonly host: string;
  readonly port: number;
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  /** false keeps the session on the broker; true when absent. */
  readonly clean?: boolean;
  /** Seconds; 60 when absent. */
  readonly keepaliveS?: number;
  /** Longest wait for CONNACK in milliseconds; 10,000 when absent. */
  readonly connectTimeoutMs?: number;
}

export interface LinkHandlers {
  /** A QoS 1 publish was acknowledged, or a QoS 2 publish completed. */
  onAck(id: number): void;
  /** The connection of an opened link ended; called once, not after `end` or `destroy`. */
  onClose(error: Error): void;
  onMessage?(topic: string, payload: Buffer): void;
}

const REFUSALS: Readonly<Record<number, string>> = {
  1: 'the broker does not speak MQTT 3.1.1',
  2: 'the client id is refused',
  3: 'the broker is not available now',
  4: 'the user name or password is wrong',
  5: 'the device may not connect',
};

function refusal(code: number, options: LinkOptions): WeirError {
  const what = REFUSALS[code] ?? `return code ${code}`;
  const doing = `Connecting device ${options.clientId} to ${options.host}:${options.port}`;
  if (code === 3) return new WeirError('WEIR_CONNECT_FAILED', 'transient', `${doing}: ${what}.`);
  return new WeirError('WEIR_UNAUTHORIZED', 'fatal', `${doing}: ${what}.`);
}

/**
 * One MQTT 3.1.1 connection of one device over a plain socket: no queue, no store, no reconnect of its own, because a
 * virtual device has those itself and a load generator must not pay for them.
 */
export class Link {
  readonly #options: LinkOptions;
  readonly #handlers: LinkHandlers;
  readonly #frames = new FrameReader();
  readonly #socket: Socket;
  readonly #opened: Promise<void>;
  #settle: { resolve: () => void; reject: (error: Error) => void } | undefined;
  #state: 'connecting' | 'open' | 'closed' = 'connecting';
  #corked = false;
  #idle = true;
  #keepalive: NodeJS.Timeout | undefined;
  readonly #connectTimer: NodeJS.Timeout;

  constructor(options: LinkOptions, handlers: LinkHandlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#opened = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    const timeoutMs = options.connectTimeoutMs ?? 10_000;
    this.#connectTimer = setTimeout(
      () => this.#fail(new Error(`no CONNACK within ${timeoutMs} ms`)),
      timeoutMs,
    );
    this.#socket = connect({ host: options.host, port: options.port, noDelay: true });
    this.#socket.on('connect', () => this.#socket.write(this.#connectPacket()));
    this.#socket.on('data', (chunk) => this.#read(chunk));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the broker closed the connection')));
  }

  /**
   * Resolves when the broker accepted the device.
   * @throws WeirError WEIR_CONNECT_FAILED (transient), WEIR_UNAUTHORIZED (fatal).
   */
  opened(): Promise<void> {
    return this.#opened;
  }

  get isOpen(): boolean {
    return this.#state === 'open';
  }

  /** Bytes that the socket has not taken yet. */
  get pendingBytes(): number {
    return this.#socket.writableLength;
  }

  /** Sends a PUBLISH; several within one turn of the event loop leave as one write. */
  publish(topic: Buffer, payload: Buffer, options: PublishOptions): void {
    this.#send(encodePublish(topic, payload, options));
  }

  subscribe(filters: readonly string[], qos: 0 | 1, id: number): void {
    const subscriptions = filters.map((topic) => ({ topic, qos }));
    this.#send(generate({ cmd: 'subscribe', messageId: id, subscriptions }));
  }

  /** Takes leave with DISCONNECT, so that the will is not sent. */
  end(): Promise<void> {
    if (this.#state !== 'open') {
      this.destroy();
      return Promise.resolve();
    }
    this.#close();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#socket.destroy(), 1_000);
      this.#socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      this.#socket.end(Buffer.from([0xe0, 0]));
    });
  }

  /** Ends at once, as a device that loses power does. */
  destroy(): void {
    this.#close();
    this.#socket.destroy();
  }

  #send(packet: Buffer): void {
    if (this.#state !== 'open') return;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#idle = false;
    this.#socket.write(packet);
  }

  #connectPacket(): Buffer {
    const { clientId, username, password, clean = true, keepaliveS = 60 } = this.#options;
    return generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean,
      clientId,
      keepalive: keepaliveS,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password: Buffer.from(password) }),
    });
  }

  #read(chunk: Buffer): void {
    try {
      this.#frames.push(chunk, (head, body) => this.#frame(head, body));
    } catch (error) {
      this.#fail(error as Error);
    }
  }

  #frame(head: number, body: Buffer): void {
    const type = head >> 4;
    const id = body.length >= 2 ? body.readUInt16BE(0) : 0;
    if (type === PACKET.puback || type === PACKET.pubcomp) this.#handlers.onAck(id);
    else if (type === PACKET.pubrec) this.#send(encodeAck(PACKET.pubrel, id));
    else if (type === PACKET.connack) this.#accepted(body[1] ?? -1);
    else if (type === PACKET.publish) this.#message(head, body);
  }

  #accepted(code: number): void {
    if (this.#state !== 'connecting') return;
    if (code !== 0) {
      this.#close(refusal(code, this.#options));
      this.#socket.destroy();
      return;
    }
    this.#state = 'open';
    clearTimeout(this.#connectTimer);
    const seconds = this.#options.keepaliveS ?? 60;
    if (seconds > 0) this.#keepalive = setInterval(() => this.#ping(), seconds * 500).unref();
    this.#settle?.resolve();
    this.#settle = undefined;
  }

  #ping(): void {
    if (this.#idle) this.#socket.write(Buffer.from([PACKET.pingreq << 4, 0]));
    this.#idle = true;
  }

  #message(head: number, body: Buffer): void {
    const qos = (head >> 1) & 3;
    const end = 2 + body.readUInt16BE(0);
    const topic = body.toString('utf8', 2, end);
    if (qos > 0) this.#send(encodeAck(qos === 1 ? PACKET.puback : PACKET.pubrec, body.readUInt16BE(end)));
    this.#handlers.onMessage?.(topic, Buffer.from(body.subarray(qos > 0 ? end + 2 : end)));
  }

  #fail(error: Error): void {
    if (this.#state === 'closed') return;
    const wasOpen = this.#state === 'open';
    const { clientId, host, port } = this.#options;
    const doing = wasOpen
      ? `Device ${clientId} lost ${host}:${port}`
      : `Connecting device ${clientId} to ${host}:${port}`;
    const failure = new WeirError(
      wasOpen ? 'WEIR_CONNECTION_LOST' : 'WEIR_CONNECT_FAILED',
      'transient',
      `${doing}: ${error.message}`,
      error,
    );
    this.#close(failure);
    this.#socket.destroy();
    if (wasOpen) this.#handlers.onClose(failure);
  }

  #close(reason?: Error): void {
    this.#state = 'closed';
    clearTimeout(this.#connectTimer);
    clearInterval(this.#keepalive);
    const settle = this.#settle;
    this.#settle = undefined;
    // Whoever destroys a link before it is open does not wait for it any more.
    if (reason === undefined) this.#opened.catch(() => {});
    settle?.reject(reason ?? new WeirError('WEIR_STATE', 'fatal', 'The link was closed before it opened.'));
  }
}
