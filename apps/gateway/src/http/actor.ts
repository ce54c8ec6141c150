import { isUtf8 } from 'node:buffer';
import type { FastifyRequest } from 'fastify';

const LONGEST = 200;

/** Who asks, for the audit trail: the header X-Weir-Actor (up to 200 characters), else the address of the client. */
export function actorOf(request: Pick<FastifyRequest, 'headers' | 'ip'>): string {
  const header = request.headers['x-weir-actor'];
  const bytes = Buffer.from(typeof header === 'string' ? header : '', 'latin1');
  const name = bytes
    .toString(isUtf8(bytes) ? 'utf8' : 'latin1')
    .replace(/\p{Cc}/gu, ' ')
    .trim();
  return name === '' ? request.ip : [...name].slice(0, LONGEST).join('');
}
