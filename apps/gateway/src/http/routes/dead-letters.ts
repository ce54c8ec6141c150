import * as api from '@weir/api';
import type { FastifyReply } from 'fastify';
import { actorOf } from '../actor.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { idempotencyKey } from '../idempotency-key.ts';
import { ApiProblem } from '../problems.ts';
import { errors, plain, type RouteGroup, typed } from './parts.ts';

const TAGS = ['dead letters'];
const MOVES = {
  park: 'Put letters aside: replays leave them out unless they are chosen by their status',
  unpark: 'Take parked letters up again',
  purge: 'Remove the bytes of letters for good',
} as const;
const PURGE =
  'The bytes are removed from the object store within a minute; the rows stay, with who and why. What Kafka holds of them it keeps until retention.deadLetters is over: single records cannot be removed from a log.';
const COUNTED =
  'With dryRun only the count is answered; give it back as expect, so that nothing else is changed. With an Idempotency-Key a repeated request answers what the first one did.';

/** A cursor of numbers that only a gateway makes. */
function after(cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined;
  const text = String(decodeCursor(cursor, 1)[0]);
  if (/^\d{1,19}$/.test(text)) return text;
  throw new ApiProblem('bad-request', 'cursor: not a cursor of this list');
}

/** A purge of everything by a forgotten selection would be a bad surprise. */
function refuseAll({
  selection,
  dryRun,
  expect,
}: Pick<api.DeadLetterChange, 'selection' | 'dryRun' | 'expect'>): void {
  if (dryRun || expect !== undefined || Object.keys(selection).length > 0) return;
  throw new ApiProblem(
    'bad-request',
    'selection: an empty one fits every letter; say so by giving their number as expect.',
  );
}

export const deadLetterRoutes: RouteGroup = (app, { letters }) => {
  const routes = typed(app);
  const missing = (id: string): ApiProblem => new ApiProblem('not-found', `There is no dead letter ${id}.`);
  const changed = (
    reply: FastifyReply,
    { answer, again }: { readonly answer: api.DeadLetterChanged; readonly again: boolean },
  ): FastifyReply => {
    if (again) reply.header('idempotency-replayed', 'true');
    return reply.header('cache-control', 'no-store').send(answer);
  };

  routes.route({
    method: 'GET',
    url: '/dead-letters',
    schema: {
      tags: TAGS,
      summary: 'Dead letters of both brokers, the one indexed last first',
      querystring: api.deadLettersQuery,
      response: { 200: api.deadLetterList, ...errors },
    },
    handler: async (request, reply) => {
      const { limit, cursor, ...selection } = request.query;
      const from = after(cursor);
      const rows = await letters.list(selection, from === undefined ? undefined : BigInt(from), limit + 1);
      const page = rows.slice(0, limit);
      const last = page.at(-1);
      const next = rows.length > limit && last !== undefined ? encodeCursor([last.seq]) : null;
      return reply.header('cache-control', 'no-store').send({ letters: page, next });
    },
  });
  routes.route({
    method: 'GET',
    url: '/dead-letters/facets',
    schema: {
      tags: TAGS,
      summary: 'How many letters there are, by what one chooses by, and grouped by what went wrong',
      querystring: api.deadLetterSelection,
      response: { 200: api.deadLetterFacets, ...errors },
    },
    handler: async (request, reply) =>
      reply.header('cache-control', 'no-store').send(await letters.facets(request.query)),
  });
  routes.route({
    method: 'GET',
    url: '/dead-letters/audit',
    schema: {
      tags: TAGS,
      summary: 'Every replay, edit, park and purge: who, when, why and what; the newest first',
      querystring: api.deadLetterAuditQuery,
      response: { 200: api.deadLetterAudit, ...errors },
    },
    handler: async (request, reply) => {
      const { limit, cursor } = request.query;
      const rows = await letters.audit(after(cursor), limit + 1);
      const entries = rows.slice(0, limit);
      const last = entries.at(-1);
      const next = rows.length > limit && last !== undefined ? encodeCursor([last.id]) : null;
      return reply.header('cache-control', 'no-store').send({ entries, next });
    },
  });
  routes.route({
    method: 'GET',
    url: '/dead-letters/:id',
    schema: {
      tags: TAGS,
      summary: 'One letter: error, headers, bytes, edits and history',
      params: api.deadLetterParams,
      response: { 200: api.deadLetterDetail, ...errors },
    },
    handler: async (request, reply) => {
      const found = await letters.find(request.params.id);
      if (found === null) throw missing(request.params.id);
      return reply.header('cache-control', 'no-store').send(found);
    },
  });
  routes.route({
    method: 'GET',
    url: '/dead-letters/:id/bytes',
    schema: {
      tags: TAGS,
      summary: 'The bytes of a letter, as they came or as the last edit made them',
      params: api.deadLetterParams,
      querystring: api.deadLetterBytesQuery,
    },
    handler: async (request, reply) => {
      const { id } = request.params;
      const found = await letters.bytes(id, request.query.edited);
      if ('gone' in found)
        throw found.gone === 'letter'
          ? missing(id)
          : new ApiProblem('not-found', `The bytes of dead letter ${id} were purged or have expired.`);
      // Whatever a stranger sent: never shown as a page of this address.
      return plain(request, reply)[1]
        .header('cache-control', 'no-store')
        .header('content-disposition', 'attachment')
        .type('application/octet-stream')
        .send(found.bytes);
    },
  });
  for (const move of ['park', 'unpark', 'purge'] as const) {
    routes.route({
      method: 'POST',
      url: `/dead-letters/${move}`,
      schema: {
        tags: TAGS,
        summary: MOVES[move],
        description: move === 'purge' ? `${PURGE} ${COUNTED}` : COUNTED,
        body: api.deadLetterChange,
        response: { 200: api.deadLetterChanged, ...errors },
      },
      handler: async (request, reply) => {
        refuseAll(request.body);
        const change = { ...request.body, actor: actorOf(request), key: idempotencyKey(request) };
        return changed(plain(request, reply)[1], await letters.move(move, change));
      },
    });
  }
  routes.route({
    method: 'POST',
    url: '/dead-letters/edit',
    schema: {
      tags: TAGS,
      summary: 'Change what a replay sends, by a JSON patch (RFC 6902)',
      description: `The originals stay as they are. A letter whose result is no valid reading is refused, and left alone. At most 10,000 letters at a time. ${COUNTED}`,
      body: api.deadLetterEdit,
      response: { 200: api.deadLetterChanged, ...errors },
    },
    handler: async (request, reply) => {
      const { patch, ...body } = request.body;
      refuseAll(body);
      const change = { ...body, actor: actorOf(request), key: idempotencyKey(request) };
      return changed(plain(request, reply)[1], await letters.edit(patch, change));
    },
  });
};
