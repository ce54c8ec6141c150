import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AppContext } from '@weir/lifecycle';
import { listen } from '@weir/observe';
import type { Credentials } from '../auth/credentials.ts';
import { classRules } from '../classes.ts';
import { zonesOfSites } from '../clock/index.ts';
import type { EdgeEvents } from '../events.ts';
import type { Intake } from '../intake/intake.ts';
import { largestPayload } from '../options.ts';
import type { DecodePayload } from '../steps/decode-payload.ts';
import { busy, ingestHandler } from './ingest.ts';
import { Problem, sendProblem } from './problem.ts';

export interface HttpDoorOptions {
  readonly context: AppContext;
  readonly intake: Intake;
  readonly events: EdgeEvents;
  readonly decode: DecodePayload;
  readonly credentials: Credentials | null;
  /** Body of `GET /edge/status`. */
  readonly status: () => unknown;
}

export interface HttpDoor {
  /** Ingest answers 503 from now on; the admin paths go on. */
  stopAccepting(): void;
  close(): void;
}

/** The HTTP door: ingest, status and the admin paths, on one port. */
export async function openHttpDoor(options: HttpDoorOptions): Promise<HttpDoor> {
  const { context, intake, events, status } = options;
  const { edge } = context.config;
  const ingest = ingestHandler({
    intake,
    events,
    decode: options.decode,
    credentials: options.credentials,
    templates: edge.topics,
    zoneOf: zonesOfSites(edge.timeZones),
    classesOf: classRules(edge.forward, edge.topics.telemetry),
    maxBody: Math.min(edge.limits.httpBody, largestPayload(edge)),
  });
  let handling = 0;
  let isStopping = false;

  const sendJson = (response: ServerResponse, code: number, body: unknown): void => {
    response.writeHead(code, {
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
    });
    response.end(`${JSON.stringify(body)}\n`);
  };

  async function handleIngest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    handling++;
    try {
      if (handling > edge.limits.httpConcurrency) throw busy();
      if (isStopping) throw new Problem('unavailable', 'The edge is stopping.', { 'retry-after': '5' });
      sendJson(response, 202, await ingest(request));
      events.requested(202);
    } catch (error) {
      let problem = error;
      if (!(problem instanceof Problem)) {
        // a client that went away while it sent its body is no fault of ours
        if (!request.destroyed || request.complete) events.failed('handling an ingest request', error);
        problem = new Problem('unavailable', 'The readings could not be stored; send them again.');
      }
      if (!response.headersSent) events.requested(sendProblem(response, problem as Problem, randomUUID()));
      // what is left of a refused body is not worth reading
      if (!request.complete) response.once('finish', () => request.destroy());
    } finally {
      handling--;
    }
  }

  const server = createServer((request, response) => {
    const path = request.url?.split('?')[0] ?? '';
    if (path.startsWith('/ingest/')) {
      handleIngest(request, response).catch((error: unknown) =>
        context.fatal('answering an HTTP request', error),
      );
    } else if (path === '/edge/status') {
      sendJson(response, 200, status());
    } else if (!context.admin(request, response)) {
      sendProblem(response, new Problem('not-found', `There is nothing at ${path}.`), randomUUID());
    }
  });
  server.headersTimeout = 10_000;
  server.requestTimeout = 30_000;
  server.maxConnections = edge.limits.httpConcurrency * 4 + 64;
  await listen(server, context.port('edgeHttp'), context.config.ports.host, 'edge HTTP');
  return {
    stopAccepting: () => {
      isStopping = true;
    },
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
