import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import websocket from '@fastify/websocket';
import { WeirError } from '@weir/flow';
import type { AppContext } from '@weir/lifecycle';
import fastify, { type FastifyBaseLogger, type FastifyInstance, LogController } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import type { Events } from '../events.ts';
import { ApiProblem, sendProblem } from './problems.ts';

/** For pages and assets alike: everything comes from this address, nothing is framed, nothing leaves in a referrer. */
export const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': CSP,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), payment=()',
};

/**
 * The fastify instance with what all routes share: admin paths, request ids, problems (RFC 9457), security headers,
 * request metrics, WebSocket. Requests are bounded: 64 KiB of body, 10 s to arrive.
 */
export async function createApi(
  context: Pick<AppContext, 'admin' | 'log'>,
  events: Events,
): Promise<FastifyInstance> {
  const app: FastifyInstance = fastify({
    loggerInstance: context.log as FastifyBaseLogger,
    // A healthy request writes no log line; metrics count it.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    bodyLimit: 64 << 10,
    // A device name has up to 128 characters, each up to 12 percent-encoded.
    routerOptions: { maxParamLength: 2_000 },
    requestTimeout: 10_000,
    keepAliveTimeout: 30_000,
    // A stop closes idle connections at once and lets answers under way finish.
    forceCloseConnections: 'idle',
    serverFactory: (handler) =>
      createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
        if (!context.admin(request, response)) handler(request, response);
      }),
  });
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS).header('x-request-id', request.id);
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url;
    // The label is the route's pattern, so that no path of a client becomes a time series.
    if (route?.startsWith('/api/') === true)
      events.answered(route, reply.statusCode, reply.elapsedTime / 1_000);
  });
  app.setErrorHandler((error, request, reply) => sendProblem(events, error, request, reply));
  app.setNotFoundHandler((request, reply) =>
    sendProblem(
      events,
      new ApiProblem(
        'not-found',
        `Nothing answers ${request.method} ${request.url.slice(0, 200)}; see /docs.`,
      ),
      request,
      reply,
    ),
  );
  await app.register(websocket, {
    options: { maxPayload: 1_024, perMessageDeflate: false },
    errorHandler: (_error, socket) => socket.terminate(),
  });
  return app;
}

/** Listens on `host:port`; a busy port is a `WEIR_PORT_BUSY` that says what to do. */
export async function listenApi(app: FastifyInstance, host: string, port: number): Promise<void> {
  try {
    await app.listen({ host, port, listenTextResolver: () => `listening on http://${host}:${port}` });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new WeirError(
      'WEIR_PORT_BUSY',
      'fatal',
      `gateway: port ${port} on ${host} is taken by another program. Stop it, or move all of Weir's ports with WEIR_PORTS__OFFSET=1000.`,
      error,
    );
  }
}
