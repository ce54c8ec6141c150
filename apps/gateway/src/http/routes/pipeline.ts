import * as api from '@weir/api';
import { errors, type RouteGroup, typed } from './parts.ts';

export const pipelineRoutes: RouteGroup = (app, { status }) => {
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
};
