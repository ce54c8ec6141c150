import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance } from 'fastify';
import { ApiProblem } from './problems.ts';

const WINDOW_SECONDS = 60;

/**
 * At most `perMinute` requests a minute of one client address on the routes of `app`; the counts live in memory, for
 * at most 5,000 addresses. Answers carry RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10),
 * refusals Retry-After.
 */
export async function limitRequests(app: FastifyInstance, perMinute: number): Promise<void> {
  await app.register(rateLimit, {
    max: perMinute,
    timeWindow: WINDOW_SECONDS * 1_000,
    cache: 5_000,
    enableDraftSpec: true,
    errorResponseBuilder: (_request, { max, ttl }) =>
      new ApiProblem(
        'rate-limited',
        `More than ${max} requests in a minute; the next one is answered in ${Math.ceil(ttl / 1_000)} s.`,
      ),
  });
  app.addHook('onSend', async (_request, reply) => {
    const remaining = reply.getHeader('ratelimit-remaining');
    if (remaining === undefined) return;
    const reset = reply.getHeader('ratelimit-reset');
    reply
      .header('ratelimit', `"api";r=${String(remaining)};t=${String(reset)}`)
      .header('ratelimit-policy', `"api";q=${perMinute};w=${WINDOW_SECONDS}`)
      .removeHeader('ratelimit-limit')
      .removeHeader('ratelimit-remaining')
      .removeHeader('ratelimit-reset');
  });
}
