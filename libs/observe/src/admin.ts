import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Server as NetServer } from 'node:net';
import { errorMessage, WeirError } from '@weir/flow';
import type { Metrics } from './metrics.ts';

/** One thing that must be true before the app is ready: returns true, or a sentence saying what is missing. */
export type Check = () => true | string;

export interface AdminOptions {
  readonly app: string;
  readonly version: string;
  readonly metrics: Metrics;
  readonly state: () => string;
  readonly checks: ReadonlyMap<string, Check>;
  /** What the app answers beside these, by path. */
  readonly questions?: ReadonlyMap<string, Question>;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
}
/** Answers a GET; `body` is sent as JSON. */
export type Question = (query: URLSearchParams) => Answer | Promise<Answer>;

/** `/livez`, `/readyz`, `/metrics` and `/version`; false when the path is none of these. */
export function adminHandler(
  options: AdminOptions,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const json = (response: ServerResponse, status: number, body: unknown): void => {
    response.writeHead(status, {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
    });
    response.end(`${JSON.stringify(body)}\n`);
  };
  return (request, response) => {
    const [path = '', query] = request.url?.split('?') ?? [];
    switch (path) {
      case '/livez':
        json(response, 200, { app: options.app, state: options.state() });
        return true;
      case '/readyz': {
        const missing = [...options.checks]
          .map(([name, check]) => ({ name, verdict: check() }))
          .filter(({ verdict }) => verdict !== true)
          .map(({ name, verdict }) => ({ name, missing: verdict }));
        const ready = missing.length === 0 && options.state() === 'running';
        json(response, ready ? 200 : 503, { app: options.app, state: options.state(), ready, missing });
        return true;
      }
      case '/metrics':
        options.metrics.registry.metrics().then(
          (text) => {
            response.writeHead(200, { 'content-type': options.metrics.registry.contentType });
            response.end(text);
          },
          (error: unknown) => json(response, 500, { error: errorMessage(error) }),
        );
        return true;
      case '/version':
        json(response, 200, { app: options.app, version: options.version, node: process.version });
        return true;
      default: {
        const question = options.questions?.get(path);
        if (question === undefined) return false;
        Promise.resolve(question(new URLSearchParams(query))).then(
          ({ status, body }) => json(response, status, body),
          (error: unknown) => json(response, 500, { error: errorMessage(error) }),
        );
        return true;
      }
    }
  };
}

/** Listens on `host:port`; a busy port is a `WEIR_PORT_BUSY` that says what to do. */
export async function listen(
  server: Server | NetServer,
  port: number,
  host: string,
  what: string,
  backlog = 511,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, backlog, () => {
      server.off('error', reject);
      resolve();
    });
  }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EADDRINUSE') throw error;
    throw new WeirError(
      'WEIR_PORT_BUSY',
      'fatal',
      `${what}: port ${port} on ${host} is taken by another program. Stop it, or move all of Weir's ports with WEIR_PORTS__OFFSET=1000.`,
      error,
    );
  });
}

/** An HTTP server for the admin paths alone. */
export async function serveAdmin(options: AdminOptions, port: number, host: string): Promise<Server> {
  const handle = adminHandler(options);
  const server = createServer((request, response) => {
    if (handle(request, response)) return;
    response.writeHead(404, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify({ title: 'Not found', status: 404 }));
  });
  await listen(server, port, host, `${options.app} health and metrics`);
  return server;
}
