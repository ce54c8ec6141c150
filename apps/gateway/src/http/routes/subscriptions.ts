import { once } from 'node:events';
import * as api from '@weir/api';
import { z } from 'zod';
import { actorOf } from '../actor.ts';
import { errors, type RouteGroup, typed } from './parts.ts';

export const subscriptionRoutes: RouteGroup = (app, { subscriptions }) => {
  const routes = typed(app);

  routes.route({
    method: 'GET',
    url: '/subscriptions',
    schema: {
      tags: ['subscriptions'],
      summary: 'Subscriptions of tools, the oldest first',
      response: { 200: api.subscriptionList, ...errors },
    },
    handler: async (_request, reply) =>
      reply.header('cache-control', 'no-store').send({ subscriptions: await subscriptions.list() }),
  });
  routes.route({
    method: 'POST',
    url: '/subscriptions',
    schema: {
      tags: ['subscriptions'],
      summary: 'Have readings or events collected for a tool, from now on',
      body: api.subscriptionRequest,
      response: { 201: api.subscription, ...errors },
    },
    handler: async (request, reply) => {
      const made = await subscriptions.create(request.body, actorOf(request));
      return reply
        .code(201)
        .header('location', `/api/v1/subscriptions/${made.id}/messages`)
        .header('cache-control', 'no-store')
        .send(made);
    },
  });
  routes.route({
    method: 'DELETE',
    url: '/subscriptions/:id',
    schema: {
      tags: ['subscriptions'],
      summary: 'Remove a subscription and what waits in it',
      params: api.subscriptionParams,
      response: { 204: z.null(), ...errors },
    },
    handler: async (request, reply) => {
      await subscriptions.remove(request.params.id);
      return reply.code(204).send(null);
    },
  });
  routes.route({
    method: 'GET',
    url: '/subscriptions/:id/messages',
    schema: {
      tags: ['subscriptions'],
      summary: 'What arrives, a line of JSON for each reading or event, until the client closes',
      description:
        'Several readers of one subscription share its messages; with `ordered` the first gets all.',
      params: api.subscriptionParams,
      response: { ...errors },
    },
    handler: async (request, reply) => {
      const gone = new AbortController();
      const { raw } = reply;
      raw.on('close', () => gone.abort());
      const begin = (): void => {
        if (raw.headersSent) return;
        reply.hijack();
        raw.writeHead(200, {
          'content-type': 'application/x-ndjson; charset=utf-8',
          'cache-control': 'no-store',
          'x-request-id': request.id,
        });
        raw.flushHeaders();
      };
      const sink = {
        write: (text: string) => raw.write(text),
        drained: async () => {
          await once(raw, 'drain', { signal: gone.signal }).catch(() => undefined);
        },
        begin,
      };
      await subscriptions.read(request.params.id, sink, gone.signal);
      if (raw.headersSent) raw.end();
    },
  });
};
