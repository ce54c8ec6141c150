import * as api from '@weir/api';
import { errors, type RouteGroup, typed } from './parts.ts';

/** History is read from the database. */
const HISTORY_MS = 5_000;

const textOf = (query: Readonly<Record<string, string | number | undefined>>): string => {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return new URLSearchParams(
    given.map(([name, value]): [string, string] => [name, String(value)]),
  ).toString();
};

/** Asked of the lag monitor each time: an answer from a cache would be about the past. */
export const lagRoutes: RouteGroup = (app, { monitor }) => {
  typed(app).route({
    method: 'GET',
    url: '/lag',
    schema: {
      tags: ['pipeline'],
      summary: 'How far every Kafka group and RabbitMQ queue is behind, worst first',
      description:
        'Lag, time lag, velocity, time to catch up, retention margin and verdict; groups of others are watched too. ' +
        'A broker that does not answer stands in `problems`, and its groups are UNKNOWN.',
      response: { 200: api.lagList, ...errors },
    },
    handler: async (_request, reply) => {
      reply.header('cache-control', 'no-store');
      return monitor('/lag', api.lagList);
    },
  });
  typed(app).route({
    method: 'GET',
    url: '/lag/history',
    schema: {
      tags: ['pipeline'],
      summary: 'Lag, time lag and rates of a group or queue over time',
      querystring: api.lagHistoryQuery,
      response: { 200: api.lagHistory, ...errors },
    },
    handler: async ({ query }, reply) => {
      reply.header('cache-control', 'no-store');
      return monitor(`/lag/history?${textOf(query)}`, api.lagHistory, HISTORY_MS);
    },
  });
  typed(app).route({
    method: 'GET',
    url: '/lag/:system/:group',
    schema: {
      tags: ['pipeline'],
      summary: 'One group or queue with its partitions, worst first',
      params: api.lagTarget,
      response: { 200: api.lagDetail, ...errors },
    },
    handler: async ({ params }, reply) => {
      reply.header('cache-control', 'no-store');
      return monitor(`/lag/group?${textOf(params)}`, api.lagDetail);
    },
  });
  typed(app).route({
    method: 'GET',
    url: '/lag/:system/:group/explain',
    schema: {
      tags: ['pipeline'],
      summary: 'Which rule decided, on which numbers, the likely cause and what to do',
      params: api.lagTarget,
      response: { 200: api.lagExplanation, ...errors },
    },
    handler: async ({ params }, reply) => {
      reply.header('cache-control', 'no-store');
      return monitor(`/lag/explain?${textOf(params)}`, api.lagExplanation);
    },
  });
};
