import type { FastifyRequest } from 'fastify';
import { ApiProblem } from './problems.ts';

/** The header Idempotency-Key of a request; null without one. Throws `bad-request` when it is not a key. */
export function idempotencyKey({ headers }: Pick<FastifyRequest, 'headers'>): string | null {
  const header = headers['idempotency-key'];
  if (header === undefined) return null;
  if (typeof header === 'string' && /^[\x21-\x7e]{1,255}$/.test(header)) return header;
  throw new ApiProblem('bad-request', 'Idempotency-Key: 1 to 255 visible ASCII characters, once');
}
