import * as api from '@weir/api';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import type { LiveHub } from '../live/hub.ts';
import type { AnswerCached } from '../steps/answer-cached.ts';
import type { StatusCollector } from '../steps/collect-status.ts';
import { findDevice, readLatest } from '../steps/find-device.ts';
import { listAlerts } from '../steps/list-alerts.ts';
import { listDevices } from '../steps/list-devices.ts';
import { readWindows } from '../steps/read-windows.ts';
import type { Store } from '../store/store.ts';
import { ApiProblem } from './problems.ts';

export interface RouteParts {
  readonly store: Store;
  readonly answer: AnswerCached;
  readonly status: StatusCollector;
  readonly hub: LiveHub;
}

const errors = { '4xx': api.problem, '5xx': api.problem };
const plain = (request: unknown, reply: unknown) =>
  [request as FastifyRequest, reply as FastifyReply] as const;

/** `/api/v1`: the schemas that validate are the ones that the OpenAPI document is made from. */
export function addRoutes(app: FastifyInstance, { store, answer, status, hub }: RouteParts): void {
  const routes = app.withTypeProvider<ZodTypeProvider>();
  const questions = {
    devices: listDevices(store),
    device: findDevice(store),
    latest: readLatest(store),
    windows: readWindows(store),
    alerts: listAlerts(store),
  };

  routes.route({
    method: 'GET',
    url: '/devices',
    schema: {
      tags: ['devices'],
      summary: 'Devices that have sent a reading',
      querystring: api.devicesQuery,
      response: { 200: api.deviceList, ...errors },
    },
    handler: (request, reply) => answer(...plain(request, reply), questions.devices(request.query)),
  });
  routes.route({
    method: 'GET',
    url: '/devices/:id',
    schema: {
      tags: ['devices'],
      summary: 'One device and its metrics',
      params: api.deviceParams,
      querystring: api.siteQuery,
      response: { 200: api.device, ...errors },
    },
    handler: (request, reply) =>
      answer(...plain(request, reply), questions.device(request.params.id, request.query.site)),
  });
  routes.route({
    method: 'GET',
    url: '/devices/:id/latest',
    schema: {
      tags: ['devices'],
      summary: 'Newest stored value of every metric',
      params: api.deviceParams,
      querystring: api.siteQuery,
      response: { 200: api.latest, ...errors },
    },
    handler: (request, reply) =>
      answer(...plain(request, reply), questions.latest(request.params.id, request.query.site)),
  });
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

  app.route({
    method: 'GET',
    url: '/live',
    schema: { hide: true, querystring: api.liveQuery },
    preValidation: async (request) => {
      if (!request.ws) return;
      if (hub.full) {
        throw new ApiProblem('live-full', api.PROBLEMS['live-full'], { retryAfterSeconds: 30 });
      }
      refuseForeignPages(request);
    },
    handler: async (_request, reply) => {
      reply.header('upgrade', 'websocket');
      throw new ApiProblem('upgrade-required', api.PROBLEMS['upgrade-required']);
    },
    wsHandler: (socket, request) => hub.add(socket, request.query as z.output<typeof api.liveQuery>),
  });
}

/** Browsers let any page open a WebSocket to any address; only pages of this gateway may read along. */
function refuseForeignPages({ headers }: FastifyRequest): void {
  if (headers.origin === undefined) return;
  if (URL.canParse(headers.origin) && new URL(headers.origin).host === headers.host) return;
  throw new ApiProblem('bad-request', 'A page of another address may not watch live readings.');
}
