import * as api from '@weir/api';
import { TASK_COMMANDS } from '@weir/dead-letters';
import { actorOf } from '../actor.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { idempotencyKey } from '../idempotency-key.ts';
import { ApiProblem } from '../problems.ts';
import { errors, type RouteGroup, typed } from './parts.ts';

const SUMMARIES = {
  pause: 'Pause a replay; what is on its way arrives',
  resume: 'Resume a paused replay, or start one that was only planned',
  cancel: 'End a replay for good; what was sent stays sent',
} as const;

export const replayRoutes: RouteGroup = (app, { replays }) => {
  const routes = typed(app);
  const missing = (id: string): ApiProblem => new ApiProblem('not-found', `There is no replay ${id}.`);

  routes.route({
    method: 'POST',
    url: '/replays',
    schema: {
      tags: ['dead letters'],
      summary: 'Send dead letters again',
      description:
        'Answers at once; the replay is planned and sent by the dead-letters app. With an Idempotency-Key a repeated request answers the replay that the first one made.',
      body: api.replayRequest,
      response: { 202: api.replay, ...errors },
    },
    handler: async (request, reply) => {
      const { answer, again } = await replays.create({
        ...request.body,
        by: actorOf(request),
        key: idempotencyKey(request),
      });
      if (again) reply.header('idempotency-replayed', 'true');
      return reply.code(202).header('location', `/api/v1/replays/${answer.id}`).send(answer);
    },
  });
  routes.route({
    method: 'GET',
    url: '/replays',
    schema: {
      tags: ['dead letters'],
      summary: 'Replays, the newest first',
      querystring: api.replaysQuery,
      response: { 200: api.replayList, ...errors },
    },
    handler: async (request, reply) => {
      const { state, limit, cursor } = request.query;
      const after = cursor === undefined ? undefined : String(decodeCursor(cursor, 1)[0]);
      const rows = await replays.list({ states: state && [state], after, limit: limit + 1 });
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const next = rows.length > limit && last !== undefined ? encodeCursor([last.id]) : null;
      return reply.header('cache-control', 'no-store').send({ replays: page, next });
    },
  });
  routes.route({
    method: 'GET',
    url: '/replays/:id',
    schema: {
      tags: ['dead letters'],
      summary: 'One replay: its plan and how far it is',
      params: api.replayParams,
      response: { 200: api.replay, ...errors },
    },
    handler: async (request, reply) => {
      const found = await replays.find(request.params.id);
      if (found === null) throw missing(request.params.id);
      return reply.header('cache-control', 'no-store').send(found);
    },
  });
  routes.route({
    method: 'GET',
    url: '/replays/:id/letters',
    schema: {
      tags: ['dead letters'],
      summary: 'The letters of a replay in the order of sending, and what became of each',
      params: api.replayParams,
      querystring: api.replayLettersQuery,
      response: { 200: api.replayLetterList, ...errors },
    },
    handler: async (request, reply) => {
      const { state, limit, cursor } = request.query;
      const after = cursor === undefined ? undefined : Number(decodeCursor(cursor, 1)[0]);
      const rows = await replays.letters(request.params.id, {
        states: state && [state],
        after,
        limit: limit + 1,
      });
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const next = rows.length > limit && last !== undefined ? encodeCursor([last.position]) : null;
      const letters = page.map(({ position: _, sentAt, ...rest }) => ({
        ...rest,
        sentAt: sentAt?.toISOString() ?? null,
      }));
      return reply.header('cache-control', 'no-store').send({ letters, next });
    },
  });
  for (const command of TASK_COMMANDS) {
    routes.route({
      method: 'POST',
      url: `/replays/:id/${command}`,
      schema: {
        tags: ['dead letters'],
        summary: SUMMARIES[command],
        params: api.replayParams,
        body: api.replayCommand,
        response: { 200: api.replay, ...errors },
      },
      handler: async (request, reply) => {
        const { id } = request.params;
        const found = await replays.command(id, command, { by: actorOf(request), why: request.body.why });
        if (found === null) throw missing(id);
        return reply.header('cache-control', 'no-store').send(found);
      },
    });
  }
};
