import * as api from '@weir/api';
import { listRollups, readRollups } from '../../steps/read-rollups.ts';
import { errors, plain, type RouteGroup, typed } from './parts.ts';

export const rollupRoutes: RouteGroup = (app, { rollups, answer }) => {
  const routes = typed(app);
  const questions = { list: listRollups(rollups), windows: readRollups(rollups) };

  routes.route({
    method: 'GET',
    url: '/rollups',
    schema: {
      tags: ['rollups'],
      summary: 'Groups of devices that have windows of their own',
      querystring: api.rollupsQuery,
      response: { 200: api.rollupList, ...errors },
    },
    handler: (request, reply) => answer(...plain(request, reply), questions.list(request.query)),
  });
  routes.route({
    method: 'GET',
    url: '/rollups/windows',
    schema: {
      tags: ['rollups'],
      summary: 'Windows of one metric of a group of devices over a time range',
      description:
        'Made of the windows of its devices, and exact as they are. A group is never final: a device that was silent for long may still send.',
      querystring: api.rollupWindowsQuery,
      response: { 200: api.rollupWindowList, ...errors },
    },
    handler: (request, reply) => answer(...plain(request, reply), questions.windows(request.query)),
  });
};
