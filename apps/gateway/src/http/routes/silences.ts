import * as api from '@weir/api';
import { actorOf } from '../actor.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { errors, type RouteGroup, typed } from './parts.ts';

export const silenceRoutes: RouteGroup = (app, { alerting }) => {
  const routes = typed(app);

  routes.route({
    method: 'GET',
    url: '/silences',
    schema: {
      tags: ['alerts'],
      summary: 'Silences, the one that ends last first',
      querystring: api.silencesQuery,
      response: { 200: api.silenceList, ...errors },
    },
    handler: async (request, reply) => {
      const { state, limit, cursor } = request.query;
      const parts = cursor === undefined ? undefined : decodeCursor(cursor, 2);
      const after =
        parts === undefined ? undefined : { to: new Date(Number(parts[0])), id: String(parts[1]) };
      const rows = await alerting.silences({ current: state === 'current', after, limit: limit + 1 });
      const silences = rows.slice(0, limit);
      const last = silences.at(-1);
      const more = rows.length > limit && last !== undefined;
      const next = more ? encodeCursor([Date.parse(last.to), last.id]) : null;
      return reply.header('cache-control', 'no-store').send({ silences, next });
    },
  });
  routes.route({
    method: 'POST',
    url: '/silences',
    schema: {
      tags: ['alerts'],
      summary: 'Silence alerts for a time: they are recorded, and nobody is told',
      description:
        'An alert is silenced when it fits every matcher. One that still fires when the silence ends is told then. Whoever was told that an alert fires is told of its end, silenced or not.',
      body: api.newSilence,
      response: { 201: api.silence, ...errors },
    },
    handler: async (request, reply) => {
      const { matchers, from, to, why } = request.body;
      const silence = await alerting.silence(
        { matchers, from: from === undefined ? new Date() : new Date(from), to: new Date(to) },
        { by: actorOf(request), why },
      );
      return reply.code(201).header('location', `/api/v1/silences/${silence.id}`).send(silence);
    },
  });
  routes.route({
    method: 'DELETE',
    url: '/silences/:id',
    schema: {
      tags: ['alerts'],
      summary: 'End a silence now',
      params: api.silenceParams,
      querystring: api.whyQuery,
      response: { 200: api.silence, ...errors },
    },
    handler: async (request, reply) =>
      reply.send(
        await alerting.unsilence(request.params.id, { by: actorOf(request), why: request.query.why }),
      ),
  });

  routes.route({
    method: 'GET',
    url: '/maintenance-windows',
    schema: {
      tags: ['alerts'],
      summary: 'Planned outages that come again and again',
      response: { 200: api.maintenanceList, ...errors },
    },
    handler: async (_request, reply) =>
      reply.header('cache-control', 'no-store').send({ windows: await alerting.windows() }),
  });
  routes.route({
    method: 'PUT',
    url: '/maintenance-windows/:id',
    schema: {
      tags: ['alerts'],
      summary: 'Write a maintenance window; it stands in for one of the configuration of the same name',
      params: api.maintenanceParams,
      body: api.maintenanceBody,
      response: { 200: api.maintenanceList, ...errors },
    },
    handler: async (request, reply) => {
      const { window, why } = request.body;
      await alerting.putWindow(request.params.id, window, { by: actorOf(request), why });
      return reply.send({ windows: await alerting.windows() });
    },
  });
  routes.route({
    method: 'DELETE',
    url: '/maintenance-windows/:id',
    schema: {
      tags: ['alerts'],
      summary: 'Remove a maintenance window that was written through the API',
      params: api.maintenanceParams,
      querystring: api.whyQuery,
      response: { 200: api.maintenanceList, ...errors },
    },
    handler: async (request, reply) => {
      await alerting.removeWindow(request.params.id, { by: actorOf(request), why: request.query.why });
      return reply.send({ windows: await alerting.windows() });
    },
  });
};
