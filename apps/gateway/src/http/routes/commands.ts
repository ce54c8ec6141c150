import * as api from '@weir/api';
import { MAX_COMMAND_MS } from '@weir/topology';
import { siteOf } from '../../steps/find-device.ts';
import { actorOf } from '../actor.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { idempotencyKey } from '../idempotency-key.ts';
import { ApiProblem } from '../problems.ts';
import { errors, type RouteGroup, typed } from './parts.ts';

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000 } as const;

function deadlineOf(text: string): number {
  const [, count = '0', unit = 'ms'] = /^(\d+)(ms|s|m)$/.exec(text) ?? [];
  const ms = Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
  if (ms >= 100 && ms <= MAX_COMMAND_MS) return ms;
  throw new ApiProblem('bad-request', `deadline: "${text}" is not between 100ms and 15m`);
}

export const commandRoutes: RouteGroup = (app, { store, desk, commands }) => {
  const routes = typed(app);

  routes.route({
    method: 'POST',
    url: '/devices/:id/commands',
    schema: {
      tags: ['commands'],
      summary: 'Send a command to a device',
      description:
        'The device gets it at most once, and only before its deadline, on the topic of its commands; it answers with an event `command-ack` that holds the id. With an Idempotency-Key a repeated request answers the command that the first one made.',
      params: api.deviceParams,
      querystring: api.commandQuery,
      body: api.commandRequest,
      response: { 200: api.command, 202: api.command, ...errors },
    },
    handler: async (request, reply) => {
      const deadlineMs = deadlineOf(request.body.deadline);
      const key = idempotencyKey(request);
      // A device that only listens has stored no reading: its site must be named.
      const site = request.query.site ?? (await siteOf(store, request.params.id, undefined));
      const { command, isNew } = await desk.add({
        ...request.body,
        site,
        device: request.params.id,
        by: actorOf(request),
        deadlineMs,
        key,
      });
      if (!isNew) reply.header('idempotency-replayed', 'true');
      const waitMs = request.query.wait * 1_000;
      const answer = waitMs > 0 ? ((await desk.wait(command.id, waitMs)) ?? command) : command;
      return reply
        .code(answer.finishedAt === null ? 202 : 200)
        .header('location', `/api/v1/commands/${command.id}`)
        .header('cache-control', 'no-store')
        .send(answer);
    },
  });
  routes.route({
    method: 'GET',
    url: '/commands/:id',
    schema: {
      tags: ['commands'],
      summary: 'One command and what became of it',
      params: api.commandParams,
      querystring: api.commandWait,
      response: { 200: api.command, ...errors },
    },
    handler: async (request, reply) => {
      const found = await desk.wait(request.params.id, request.query.wait * 1_000);
      if (found === null) throw new ApiProblem('not-found', `There is no command ${request.params.id}.`);
      return reply.header('cache-control', 'no-store').send(found);
    },
  });
  routes.route({
    method: 'GET',
    url: '/commands',
    schema: {
      tags: ['commands'],
      summary: 'Commands, the newest first',
      querystring: api.commandsQuery,
      response: { 200: api.commandList, ...errors },
    },
    handler: async (request, reply) => {
      const { cursor, limit, ...filter } = request.query;
      const parts = cursor === undefined ? undefined : decodeCursor(cursor, 2);
      const after =
        parts === undefined ? undefined : ([new Date(Number(parts[0])), String(parts[1])] as const);
      const rows = await commands.list({ ...filter, after, limit: limit + 1 });
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const next =
        rows.length > limit && last !== undefined
          ? encodeCursor([Date.parse(last.createdAt), last.id])
          : null;
      return reply.header('cache-control', 'no-store').send({ commands: page, next });
    },
  });
};
