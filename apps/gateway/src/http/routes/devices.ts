import * as api from '@weir/api';
import { findLiveness } from '../../steps/ask-liveness.ts';
import { findDevice, readLatest } from '../../steps/find-device.ts';
import { listDevices } from '../../steps/list-devices.ts';
import { readSummary } from '../../steps/read-summary.ts';
import { errors, plain, type RouteGroup, typed } from './parts.ts';

export const deviceRoutes: RouteGroup = (app, { store, newest, answer, liveness, silentAfter }) => {
  const routes = typed(app);
  const questions = {
    devices: listDevices(store),
    device: findDevice(store),
    latest: readLatest(store, newest),
    liveness: findLiveness(store, liveness),
    summary: readSummary(store, newest, silentAfter, liveness),
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
      summary: 'One device: its metrics, arrivals, sequence numbers and clock',
      params: api.deviceParams,
      querystring: api.siteQuery,
      response: { 200: api.deviceDetail, ...errors },
    },
    handler: (request, reply) =>
      answer(...plain(request, reply), questions.device(request.params.id, request.query.site)),
  });
  routes.route({
    method: 'GET',
    url: '/devices/:id/latest',
    schema: {
      tags: ['devices'],
      summary: 'Newest stored value of every metric; while the windows are behind, the newest that was heard',
      params: api.deviceParams,
      querystring: api.siteQuery,
      response: { 200: api.latest, ...errors },
    },
    handler: (request, reply) =>
      answer(...plain(request, reply), questions.latest(request.params.id, request.query.site)),
  });
  routes.route({
    method: 'GET',
    url: '/devices/:id/liveness',
    schema: {
      tags: ['devices'],
      summary: 'Whether the device lives, as its own rhythm tells',
      description:
        'Suspicion (phi) of the failure detector, as of the last progress of its edge. Asked of the active alerter, never cached.',
      params: api.deviceParams,
      querystring: api.siteQuery,
      response: { 200: api.deviceLiveness, ...errors },
    },
    handler: async (request, reply) => {
      reply.header('cache-control', 'no-store');
      return questions.liveness(request.params.id, request.query.site);
    },
  });
  routes.route({
    method: 'GET',
    url: '/devices/:id/summary',
    schema: {
      tags: ['devices'],
      summary: 'All that is known of a device',
      description:
        'Newest values, current and last closed windows, open alerts, whether it is silent, its clock and its sequence numbers.',
      params: api.deviceParams,
      querystring: api.summaryQuery,
      response: { 200: api.summary, ...errors },
    },
    handler: (request, reply) =>
      answer(...plain(request, reply), questions.summary(request.params.id, request.query)),
  });
};
