import { setTimeout as delay } from 'node:timers/promises';
import { encodeTopic, Link } from '@weir/connect-mqtt';
import { atEnd, type Scope } from '@weir/testkit';

export interface ScriptedMessage {
  readonly topic: string;
  readonly payload: string;
}

export interface ScriptedDeviceOptions {
  readonly port: number;
  readonly id: string;
  readonly qos: 0 | 1 | 2;
  /** Unacknowledged publishes at a time. */
  readonly window?: number;
}

interface InFlight {
  readonly message: ScriptedMessage;
  readonly id: number;
}

/**
 * A device as a careful maker builds it: it keeps what is not acknowledged, sends it again in order after a reconnect
 * with the DUP flag, and forgets nothing. What it calls acknowledged is what the test may demand of Weir.
 */
export class ScriptedDevice {
  readonly acknowledged: ScriptedMessage[] = [];
  readonly #options: ScriptedDeviceOptions;
  readonly #waiting: ScriptedMessage[] = [];
  readonly #inFlight = new Map<number, InFlight>();
  readonly #window: number;
  #link: Link | undefined;
  #nextId = 1;
  #stopped = false;
  #idle: (() => void)[] = [];

  /** Disconnects when `scope` ends. */
  constructor(scope: Scope, options: ScriptedDeviceOptions) {
    this.#options = options;
    atEnd(scope, () => this.stop());
    this.#window = options.window ?? 10;
  }

  /** Publishes not acknowledged yet. */
  get pending(): number {
    return this.#waiting.length + this.#inFlight.size;
  }

  /** Starts connecting, and does so again after every loss until `stop`. Resolves at the first CONNACK. */
  async start(): Promise<void> {
    while (!this.#stopped) {
      try {
        await this.#connect();
        return;
      } catch {
        await delay(50 + Math.random() * 450);
      }
    }
  }

  send(message: ScriptedMessage): void {
    this.#waiting.push(message);
    this.#pump();
  }

  /** Resolves when every publish is acknowledged. */
  async settled(): Promise<void> {
    if (this.pending === 0) return;
    await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#link?.end();
  }

  async #connect(): Promise<void> {
    const link = new Link(
      {
        host: '127.0.0.1',
        port: this.#options.port,
        clientId: this.#options.id,
        clean: this.#options.qos !== 2,
        keepaliveS: 30,
      },
      {
        onAck: (id) => this.#acked(id),
        onClose: () => {
          this.#link = undefined;
          if (!this.#stopped) void this.start();
        },
      },
    );
    await link.opened();
    this.#link = link;
    for (const flight of this.#inFlight.values()) this.#write(flight, true);
    this.#pump();
  }

  #write({ message, id }: InFlight, dup: boolean): void {
    this.#link?.publish(encodeTopic(message.topic), Buffer.from(message.payload), {
      qos: this.#options.qos,
      id,
      dup,
    });
  }

  #pump(): void {
    while (this.#link?.isOpen === true && this.#waiting.length > 0 && this.#inFlight.size < this.#window) {
      const message = this.#waiting.shift() as ScriptedMessage;
      const flight = { message, id: this.#nextId };
      this.#nextId = (this.#nextId % 65_535) + 1;
      if (this.#options.qos === 0) {
        this.#write(flight, false);
        continue;
      }
      this.#inFlight.set(flight.id, flight);
      this.#write(flight, false);
    }
    if (this.pending === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  #acked(id: number): void {
    const flight = this.#inFlight.get(id);
    if (flight === undefined) return;
    this.#inFlight.delete(id);
    this.acknowledged.push(flight.message);
    this.#pump();
  }
}
