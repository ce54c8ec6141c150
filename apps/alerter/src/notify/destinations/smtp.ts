import { createHash } from 'node:crypto';
import { errorMessage, WeirError } from '@weir/flow';
import { createTransport } from 'nodemailer';
import { type Message, mailText } from '../message.ts';
import type { Destination } from './destination.ts';

export interface SmtpOptions {
  readonly host: string;
  readonly port: number;
  readonly tls: 'starttls' | 'implicit' | 'none';
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly from: string;
  readonly to: readonly string[];
  /** Longest silence of the server, milliseconds. */
  readonly timeoutMs: number;
}

/** The same for every attempt, so that mail systems know a message that comes twice. */
function messageIdOf(id: string, from: string): string {
  const domain = /@([A-Za-z0-9.-]+)>?\s*$/.exec(from)?.[1] ?? 'weir';
  return `<${createHash('sha256').update(id).digest('hex').slice(0, 32)}@${domain}>`;
}

/** A server's "no" for good is 5yz (RFC 5321, 4.2.1); what it says to a login may be mended without us. */
function isRefusal(error: unknown): boolean {
  const { responseCode, code } = error as { responseCode?: number; code?: string };
  return code !== 'EAUTH' && responseCode !== undefined && responseCode >= 500;
}

/** Mail, one message at a time on a connection of its own. */
export function smtp(options: SmtpOptions): Destination {
  const { host, port, tls, username, password = '', from, to, timeoutMs } = options;
  const transport = createTransport({
    host,
    port,
    secure: tls === 'implicit',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    ...(username === undefined ? {} : { auth: { user: username, pass: password } }),
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return {
    atATime: 1,
    parallel: 1,
    async deliver(messages: readonly Message[]) {
      const [message] = messages as readonly [Message];
      const [first] = message.alerts;
      try {
        const sent = await transport.sendMail({
          from,
          to: [...to],
          messageId: messageIdOf(message.id, from),
          // Mail programs show the changes of one alert as one thread.
          ...(first === undefined || message.group !== null
            ? {}
            : { references: messageIdOf(`${first.alert.id}/firing`, from) }),
          headers: { 'X-Weir-Message': message.id },
          ...mailText(message),
        });
        return [sent.response];
      } catch (error) {
        throw new WeirError(
          isRefusal(error) ? 'WEIR_REJECTED' : 'WEIR_CONNECT_FAILED',
          isRefusal(error) ? 'data' : 'transient',
          `sending mail by ${host}:${port}: ${errorMessage(error)}`,
          error,
        );
      }
    },
    close: async () => transport.close(),
  };
}
