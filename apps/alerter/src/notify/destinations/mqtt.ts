import { type Client, openClient } from '@weir/connect-mqtt';
import { fieldOf } from '../matching.ts';
import { type Message, messageBody, type Told } from '../message.ts';
import type { Destination } from './destination.ts';

export interface MqttOptions {
  readonly id: string;
  readonly url: string;
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** With {site}, {device}, {rule}, {kind}, {severity}, {metric} and {state}. */
  readonly topic: string;
  readonly retain: boolean;
  readonly timeoutMs: number;
}

/** A level is never empty, and holds nothing that MQTT gives a meaning. */
const level = (text: string): string => (text === '' ? '-' : text.replace(/[/+#\0]/g, '_'));

export function topicOf(template: string, { change, alert }: Told): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) =>
    level(name === 'state' ? change : fieldOf(alert, name)),
  );
}

/** QoS 1: a message is delivered when the broker acknowledges it. */
export function mqtt(options: MqttOptions): Destination {
  const { id, url, clientId, username, password, topic, retain, timeoutMs } = options;
  let client: Promise<Client> | undefined;
  const hangUp = async (): Promise<void> => {
    const old = client;
    client = undefined;
    await old?.then((open) => open.close()).catch(() => undefined);
  };
  return {
    atATime: 1,
    // On one connection, in order.
    parallel: 1,
    async deliver(messages: readonly Message[]) {
      const [message] = messages as readonly [Message];
      const [told] = message.alerts as readonly [Told];
      client ??= openClient({
        ...{ url, clientId, timeoutMs },
        ...(username === undefined ? {} : { username }),
        ...(password === undefined ? {} : { password }),
      });
      const to = topicOf(topic, told);
      try {
        await (await client).publish(to, messageBody(id, message), 1, retain);
      } catch (error) {
        await hangUp();
        throw error;
      }
      return [`the broker acknowledged ${to}`];
    },
    close: hangUp,
  };
}
