import * as api from '@weir/api';
import type { FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { ApiProblem } from '../problems.ts';
import type { RouteGroup } from './parts.ts';

export const liveRoutes: RouteGroup = (app, { hub }) => {
  app.route({
    method: 'GET',
    url: '/live',
    schema: { hide: true, querystring: api.liveQuery },
    preValidation: async (request) => {
      if (!request.ws) return;
      if (hub.full) {
        throw new ApiProblem('live-full', api.PROBLEMS['live-full'], { retryAfterSeconds: 30 });
      }
      refuseForeignPages(request);
    },
    handler: async (_request, reply) => {
      reply.header('upgrade', 'websocket');
      throw new ApiProblem('upgrade-required', api.PROBLEMS['upgrade-required']);
    },
    wsHandler: (socket, request) => hub.add(socket, request.query as z.output<typeof api.liveQuery>),
  });
};

/** Browsers let any page open a WebSocket to any address; only pages of this gateway may read along. */
function refuseForeignPages({ headers }: FastifyRequest): void {
  if (headers.origin === undefined) return;
  if (URL.canParse(headers.origin) && new URL(headers.origin).host === headers.host) return;
  throw new ApiProblem('bad-request', 'A page of another address may not watch live readings.');
}
