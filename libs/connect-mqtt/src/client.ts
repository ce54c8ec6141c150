import { errorMessage, WeirError } from '@weir/flow';
import { connectAsync, type MqttClient } from 'mqtt';

export interface ClientOptions {
  /** `mqtt://`, `mqtts://` or `ws://` address of the broker. */
  readonly url: string;
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  /** Longest wait for the connection in milliseconds; 5,000 when absent. */
  readonly timeoutMs?: number;
}

export interface Client {
  /** Resolves when the broker acknowledged (QoS 1 and 2) or the bytes left (QoS 0). */
  publish(topic: string, payload: string | Buffer, qos: 0 | 1 | 2, retain?: boolean): Promise<void>;
  /** @throws WeirError WEIR_UNAUTHORIZED when the broker refuses the filter. */
  subscribe(filter: string, onMessage: (topic: string, payload: Buffer) => void): Promise<void>;
  close(): Promise<void>;
}

const deadline = <T>(work: Promise<T>, ms: number, doing: string): Promise<T> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new WeirError('WEIR_TIMEOUT', 'transient', `${doing}: no answer within ${ms} ms.`)),
      ms,
    );
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};

/** One connection without reconnecting, for a command that does one thing and ends. */
export async function openClient(options: ClientOptions): Promise<Client> {
  const timeoutMs = options.timeoutMs ?? 5_000;
  let client: MqttClient;
  try {
    client = await connectAsync(
      options.url,
      {
        clientId: options.clientId,
        reconnectPeriod: 0,
        connectTimeout: timeoutMs,
        ...(options.username === undefined ? {} : { username: options.username }),
        ...(options.password === undefined ? {} : { password: options.password }),
      },
      false,
    );
  } catch (error) {
    const refused = /not authorized|bad user|identifier rejected/i.test(errorMessage(error));
    throw new WeirError(
      refused ? 'WEIR_UNAUTHORIZED' : 'WEIR_CONNECT_FAILED',
      refused ? 'fatal' : 'transient',
      `Connecting to ${options.url} as ${options.clientId}: ${errorMessage(error)}.`,
      error,
    );
  }
  client.on('error', () => {}); // Each operation below fails by itself.
  return {
    async publish(topic, payload, qos, retain = false) {
      await deadline(
        client.publishAsync(topic, payload, { qos, retain }),
        timeoutMs,
        `Publishing to ${topic}`,
      );
    },
    async subscribe(filter, onMessage) {
      client.on('message', (topic, payload) => onMessage(topic, payload));
      const granted = await deadline(
        client.subscribeAsync(filter, { qos: 1 }),
        timeoutMs,
        `Subscribing to ${filter}`,
      );
      if (granted.some(({ qos }) => qos === 128)) {
        throw new WeirError(
          'WEIR_UNAUTHORIZED',
          'fatal',
          `The broker does not allow subscribing to ${filter}.`,
        );
      }
    },
    async close() {
      await client.endAsync();
    },
  };
}
