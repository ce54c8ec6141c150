import * as api from '@weir/api';
import { readWindows } from '../../steps/read-windows.ts';
import { errors, plain, type RouteGroup, typed } from './parts.ts';

export const windowRoutes: RouteGroup = (app, { store, answer }) => {
  const routes = typed(app);
  const questions = { windows: readWindows(store) };

  routes.route({
    method: 'GET',
    url: '/devices/:id/windows',
    schema: {
      tags: ['devices'],
      summary: 'Windows of one metric over a time range',
      params: api.deviceParams,
      querystring: api.windowsQuery,
      response: { 200: api.windowList, ...errors },
    },
    handler: (request, reply) =>
      answer(...plain(request, reply), questions.windows(request.params.id, request.query)),
  });
};
