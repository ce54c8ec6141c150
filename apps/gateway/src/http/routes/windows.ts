import * as api from '@weir/api';
import { readSeries } from '../../steps/read-series.ts';
import { readWindows } from '../../steps/read-windows.ts';
import { errors, plain, type RouteGroup, typed } from './parts.ts';

export const windowRoutes: RouteGroup = (app, { store, answer }) => {
  const routes = typed(app);
  const questions = { windows: readWindows(store), series: readSeries(store) };

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
  routes.route({
    method: 'GET',
    url: '/devices/:id/series',
    schema: {
      tags: ['devices'],
      summary: 'One metric over a time range in a number of points',
      description:
        'Every point of the range is there; one without a reading has no figures. Points are merged from the coarsest windows that fit into them, and from finer ones at the ends of the range and where coarse ones are not closed yet: `stretches` tells which. Quantiles are those of the merged sketches.',
      params: api.deviceParams,
      querystring: api.seriesQuery,
      response: { 200: api.series, ...errors },
    },
    handler: (request, reply) =>
      answer(...plain(request, reply), questions.series(request.params.id, request.query)),
  });
};
