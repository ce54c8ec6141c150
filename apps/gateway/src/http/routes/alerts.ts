import * as api from '@weir/api';
import { listAlerts } from '../../steps/list-alerts.ts';
import { actorOf } from '../actor.ts';
import { ApiProblem } from '../problems.ts';
import { errors, plain, type RouteGroup, typed } from './parts.ts';

export const alertRoutes: RouteGroup = (app, { store, alerting, answer, changed }) => {
  const routes = typed(app);
  const questions = { alerts: listAlerts(store) };

  routes.route({
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
  routes.route({
    method: 'GET',
    url: '/alerts/:id',
    schema: {
      tags: ['alerts'],
      summary: 'One alert, its changes, and whom it was told',
      params: api.alertParams,
      response: { 200: api.alertDetail, ...errors },
    },
    handler: async (request, reply) => {
      const found = await alerting.alert(request.params.id);
      if (found === null)
        throw new ApiProblem(
          'not-found',
          `There is no alert ${request.params.id}; a pending one may have vanished.`,
        );
      return reply.header('cache-control', 'no-store').send(found);
    },
  });
  routes.route({
    method: 'POST',
    url: '/alerts/:id/ack',
    schema: {
      tags: ['alerts'],
      summary: 'Take an alert on: it goes on until its condition ends, and nobody is reminded of it',
      params: api.alertParams,
      body: api.acknowledgement,
      response: { 200: api.alert, ...errors },
    },
    handler: async (request, reply) => {
      const { why } = request.body;
      const alert = await alerting.acknowledge(request.params.id, { by: actorOf(request), why });
      changed('alerts');
      return reply.header('cache-control', 'no-store').send(alert);
    },
  });
  routes.route({
    method: 'GET',
    url: '/notifiers',
    schema: {
      tags: ['alerts'],
      summary: 'Who is told of alerts, and how that goes',
      response: { 200: api.notifierList, ...errors },
    },
    handler: async (_request, reply) =>
      reply.header('cache-control', 'no-store').send({ notifiers: await alerting.notifiers() }),
  });
  routes.route({
    method: 'POST',
    url: '/notifiers/:id/test',
    schema: {
      tags: ['alerts'],
      summary: 'Send a test alert through a notifier, and see what came back',
      params: api.notifierParams,
      response: { 200: api.notifierTest, ...errors },
    },
    handler: async (request, reply) =>
      reply
        .header('cache-control', 'no-store')
        .send(await alerting.testNotifier(request.params.id, actorOf(request))),
  });
};
