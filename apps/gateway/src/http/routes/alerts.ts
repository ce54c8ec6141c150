import * as api from '@weir/api';
import { listAlerts } from '../../steps/list-alerts.ts';
import { errors, plain, type RouteGroup, typed } from './parts.ts';

export const alertRoutes: RouteGroup = (app, { store, answer }) => {
  const questions = { alerts: listAlerts(store) };

  typed(app).route({
    method: 'GET',
    url: '/alerts',
    schema: {
      tags: ['alerts'],
      summary: 'Alerts, the one that changed last first',
      querystring: api.alertsQuery,
      response: { 200: api.alertList, ...errors },
    },
    handler: (request, reply) => answer(...plain(request, reply), questions.alerts(request.query)),
  });
};
