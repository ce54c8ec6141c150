import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { atEnd, type Scope } from '@weir/testkit';
import { generate, type Packet, parser } from 'mqtt-packet';

export interface BeatingDeviceOptions {
  readonly port: number;
  readonly id: string;
  readonly site: string;
  readonly periodMs: number;
  /** Share of the period by which each interval may differ. */
  readonly jitter: number;
  /** After its first reading it only sends PINGREQ, as an idle device does. */
  readonly onlyPings?: boolean;
}

/** A device that is heard once in a period, connects again when it is cut off, and falls silent when it is told to. */
export class BeatingDevice {
  readonly #options: BeatingDeviceOptions;
  #socket: Socket | undefined;
  #silent = false;
  #stopped = false;
  #beats = 0;
  readonly #running: Promise<void>;

  constructor(scope: Scope, options: BeatingDeviceOptions) {
    this.#options = options;
    this.#running = this.#run();
    atEnd(scope, async () => {
      this.#stopped = true;
      this.#socket?.destroy();
      await this.#running;
    });
  }
  /** Its connection stays, as that of a device whose program hangs. */
  set silent(silent: boolean) {
    this.#silent = silent;
  }

  async #run(): Promise<void> {
    const { periodMs, jitter } = this.#options;
    while (!this.#stopped) {
      if (this.#socket === undefined) await this.#connect().catch(() => undefined);
      if (!this.#silent) this.#beat();
      await delay(periodMs * (1 + jitter * (2 * Math.random() - 1)));
    }
  }
  #send(packet: Packet): void {
    this.#socket?.write(generate(packet));
  }
  #beat(): void {
    const { id, site, onlyPings = false } = this.#options;
    if (onlyPings && this.#beats > 0) this.#send({ cmd: 'pingreq' });
    else {
      const topic = `telemetry/v1/${site}/${id}/heat`;
      this.#send({ cmd: 'publish', topic, payload: String(this.#beats), qos: 0, retain: false, dup: false });
    }
    if (this.#socket !== undefined) this.#beats++;
  }
  async #connect(): Promise<void> {
    const { port, id } = this.#options;
    const socket = connect(port, '127.0.0.1');
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const read = parser({ protocolVersion: 4 });
    read.on('packet', ({ cmd }: Packet) => {
      if (cmd === 'connack') resolve();
    });
    socket.on('data', (chunk) => read.parse(chunk));
    socket.on('error', reject);
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined;
      reject(new Error('closed'));
    });
    socket.write(
      generate({
        cmd: 'connect',
        protocolId: 'MQTT',
        protocolVersion: 4,
        clientId: id,
        keepalive: 60,
        clean: true,
      }),
    );
    await promise;
    this.#socket = socket;
  }
}
