import * as api from '@weir/api';
import { readView } from '../../steps/read-view.ts';
import { scoreAnomalies } from '../../steps/score-anomalies.ts';
import { errors, plain, type RouteGroup, typed } from './parts.ts';

export const viewRoutes: RouteGroup = (app, { store, answer }) => {
  const routes = typed(app);
  const questions = { view: readView(store), anomaly: scoreAnomalies(store) };

  routes.route({
    method: 'GET',
    url: '/devices/:id/views',
    schema: {
      tags: ['devices'],
      summary: 'Hopping and sliding windows, moving averages and rates of one metric',
      description:
        'Merged from stored windows of one level, the coarsest that divides size and hop. Windows start at multiples of the hop since the epoch, and have the same figures whatever the range. A point without a reading is null, which is not zero.',
      params: api.deviceParams,
      querystring: api.viewsQuery,
      response: { 200: api.view, ...errors },
    },
    handler: (request, reply) =>
      answer(...plain(request, reply), questions.view(request.params.id, request.query)),
  });
  routes.route({
    method: 'GET',
    url: '/devices/:id/anomaly',
    schema: {
      tags: ['devices'],
      summary: 'How unusual the windows of one metric are, and the alarms that follow',
      description:
        'Each window is compared with those before it: robust z-scores against rolling median and MAD, less the usual course of day and week, over the deviation that this series exceeds once in four weeks by itself. Up to 92 days before the range are read to learn from.',
      params: api.deviceParams,
      querystring: api.anomalyQuery,
      response: { 200: api.anomaly, ...errors },
    },
    handler: (request, reply) =>
      answer(...plain(request, reply), questions.anomaly(request.params.id, request.query)),
  });
};
