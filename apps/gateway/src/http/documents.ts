import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { PROBLEMS } from '@weir/api';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';

const problemList = Object.entries(PROBLEMS)
  .map(([code, text]) => `- \`${code}\`: ${text}`)
  .join('\n');

/** OpenAPI 3.1 from the schemas that validate, at `/api/v1/openapi.json`, and a page to read and try it, at `/docs`. */
export async function describeApi(app: FastifyInstance, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.1',
      info: {
        title: 'Weir',
        version,
        license: { name: 'MIT', identifier: 'MIT' },
        description: `Devices, windows, alerts and the state of the pipeline. Times are RFC 3339, UTC. Lists are paged with an opaque cursor (\`Link: rel="next"\`). Every error is \`application/problem+json\` (RFC 9457) with one of these codes:\n\n${problemList}\n\nLive readings come over a WebSocket at \`/api/v1/live?site=&device=\`: JSON text frames of type \`hello\`, \`feed\`, \`readings\` (with \`dropped\`, the number that a slow client missed) and \`alert\`.`,
      },
      tags: [
        { name: 'devices', description: 'What the devices sent' },
        { name: 'rollups', description: 'What groups of devices sent' },
        { name: 'alerts', description: 'What the rules found' },
        { name: 'commands', description: 'What devices are told to do' },
        { name: 'dead letters', description: 'What could not be processed, and sending it again' },
        { name: 'subscriptions', description: 'Readings and events for tools of your own' },
        { name: 'pipeline', description: 'How the pipeline is doing' },
      ],
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  });
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    // The page styles itself inline; scripts stay limited to this address.
    staticCSP: true,
    transformStaticCSP: () =>
      "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    uiConfig: { deepLinking: true, tryItOutEnabled: true, defaultModelsExpandDepth: 1 },
  });
  app.get('/api/v1/openapi.json', { schema: { hide: true } }, async (_request, reply) => {
    reply.header('cache-control', 'no-cache');
    return app.swagger();
  });
}
