import * as api from '@weir/api';
import { errors, type RouteGroup, typed } from './parts.ts';

export const pipelineRoutes: RouteGroup = (app, { status, monitor }) => {
  typed(app).route({
    method: 'GET',
    url: '/status',
    schema: {
      tags: ['pipeline'],
      summary: 'Every stage of the pipeline with its state and figures',
      description:
        'A part that does not answer is shown as down; this call itself does not fail because of it.',
      response: { 200: api.status, ...errors },
    },
    handler: async (_request, reply) => {
      reply.header('cache-control', 'no-store');
      return status.current();
    },
  });
  typed(app).route({
    method: 'GET',
    url: '/pressure',
    schema: {
      tags: ['pipeline'],
      summary: 'Which hop holds the others back, and how each hop fares',
      description:
        'Buffers, policies, states and rates of every hop; the bottleneck and since when; what edges are told to send ' +
        'while the windows are behind; deadlines, limits and breakers of outside calls.',
      response: { 200: api.pressure, ...errors },
    },
    handler: async (_request, reply) => {
      reply.header('cache-control', 'no-store');
      return monitor('/pressure', api.pressure);
    },
  });
  typed(app).route({
    method: 'GET',
    url: '/ledger',
    schema: {
      tags: ['pipeline'],
      summary: 'Whether every acknowledged reading is somewhere, hop by hop',
      description:
        'Readings that are missing (residual) and that are on their way, with the places where they went missing. ' +
        'Acknowledging the alert of a hop takes note of what is missing there: it is no residual any more.',
      response: { 200: api.ledger, ...errors },
    },
    handler: async (_request, reply) => {
      reply.header('cache-control', 'no-store');
      return monitor('/ledger', api.ledger);
    },
  });
};
