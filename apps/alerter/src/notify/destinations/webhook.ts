import { createHmac } from 'node:crypto';
import type { Message } from '../message.ts';
import { messageBody } from '../message.ts';
import type { Destination } from './destination.ts';
import { post } from './http.ts';

export interface WebhookOptions {
  readonly id: string;
  readonly url: string;
  /** `whsec_` and base64, or any text; two, parted by a space, while one replaces the other. Absent: not signed. */
  readonly secret: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

const keyOf = (secret: string): Buffer =>
  secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret);

/**
 * The headers of Standard Webhooks 1.0.0 (https://www.standardwebhooks.com): `webhook-id`, `webhook-timestamp` (epoch
 * seconds) and `webhook-signature`, for each secret `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`. A
 * receiver checks the signature, refuses a timestamp that is more than five minutes off, and takes each id once.
 */
export function signed(
  secrets: string,
  id: string,
  atSeconds: number,
  body: string,
): Readonly<Record<string, string>> {
  const signatures = secrets
    .split(/\s+/)
    .filter((secret) => secret !== '')
    .map(
      (secret) =>
        `v1,${createHmac('sha256', keyOf(secret)).update(`${id}.${atSeconds}.${body}`).digest('base64')}`,
    );
  return {
    'webhook-id': id,
    'webhook-timestamp': String(atSeconds),
    ...(signatures.length === 0 ? {} : { 'webhook-signature': signatures.join(' ') }),
  };
}

export function webhook({ id: notifier, url, secret = '', headers }: WebhookOptions): Destination {
  const doing = `telling ${new URL(url).origin}`;
  return {
    atATime: 1,
    parallel: 8,
    async deliver(messages: readonly Message[], signal) {
      const [message] = messages as readonly [Message];
      const body = messageBody(notifier, message);
      const signature = signed(secret, message.id, Math.floor(Date.now() / 1_000), body);
      return [await post({ doing, url, body, headers: { ...headers, ...signature }, signal })];
    },
    close: async () => {},
  };
}
