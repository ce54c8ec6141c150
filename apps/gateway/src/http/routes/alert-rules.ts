import * as api from '@weir/api';
import type { FastifyRequest } from 'fastify';
import { actorOf } from '../actor.ts';
import { ApiProblem } from '../problems.ts';
import { errors, type RouteGroup, typed } from './parts.ts';

const etag = (version: string): string => `"${version}"`;

/** The version in If-Match (RFC 9110, 13.1.1): one entity tag, or `*`. */
function ifMatchOf({ headers }: Pick<FastifyRequest, 'headers'>): string | undefined {
  const given = headers['if-match'];
  if (given === undefined || given.trim() === '*') return given?.trim();
  const [, version] = /^\s*"([^"]*)"\s*$/.exec(given) ?? [];
  if (version !== undefined) return version;
  throw new ApiProblem(
    'bad-request',
    `if-match: expected the ETag of the rule, such as "7"; got ${given.slice(0, 60)}`,
  );
}

export const alertRuleRoutes: RouteGroup = (app, { alerting }) => {
  const routes = typed(app);

  routes.route({
    method: 'GET',
    url: '/alert-rules',
    schema: {
      tags: ['alerts'],
      summary: 'The rules of the configuration and of the API, by name',
      response: { 200: api.alertRuleList, ...errors },
    },
    handler: async (_request, reply) =>
      reply.header('cache-control', 'no-store').send({ rules: await alerting.rules() }),
  });
  routes.route({
    method: 'GET',
    url: '/alert-rules/:id',
    schema: {
      tags: ['alerts'],
      summary: 'One rule; its ETag is what a change of it names in If-Match',
      params: api.alertRuleParams,
      response: { 200: api.alertRuleView, ...errors },
    },
    handler: async (request, reply) => {
      const rule = await alerting.rule(request.params.id);
      if (rule === null) throw new ApiProblem('not-found', `There is no rule "${request.params.id}".`);
      if (rule.version !== null) reply.header('etag', etag(rule.version));
      return reply.header('cache-control', 'no-store').send(rule);
    },
  });
  routes.route({
    method: 'PUT',
    url: '/alert-rules/:id',
    schema: {
      tags: ['alerts'],
      summary: 'Write a rule; it stands in for one of the configuration of the same name',
      description:
        'A rule that the API has made already is changed only with If-Match, so that nobody undoes what another has just done. The rule is checked as weir.yaml is, together with the rules that are made of it. The active alerter applies it within five seconds.',
      params: api.alertRuleParams,
      body: api.alertRuleBody,
      response: { 200: api.alertRuleView, 201: api.alertRuleView, ...errors },
    },
    handler: async (request, reply) => {
      const { id } = request.params;
      const { rule: written, enabled, why } = request.body;
      const ifMatch = ifMatchOf(request);
      const by = actorOf(request);
      const { rule, created } = await alerting.putRule({ id, rule: written, enabled, why, ifMatch, by });
      return reply
        .code(created ? 201 : 200)
        .header('etag', etag(rule.version ?? ''))
        .send(rule);
    },
  });
  routes.route({
    method: 'DELETE',
    url: '/alert-rules/:id',
    schema: {
      tags: ['alerts'],
      summary: 'Remove a rule that was made through the API; one of the configuration comes back',
      description:
        'Its alerts are resolved, unless the rule of the configuration that comes back covers them.',
      params: api.alertRuleParams,
      querystring: api.whyQuery,
      response: { 204: api.nothing, ...errors },
    },
    handler: async (request, reply) => {
      const ifMatch = ifMatchOf(request);
      const { why } = request.query;
      await alerting.removeRule({ id: request.params.id, why, ifMatch, by: actorOf(request) });
      return reply.code(204).send(null);
    },
  });
};
