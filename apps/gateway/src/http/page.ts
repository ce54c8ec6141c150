import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance } from 'fastify';

/** Addresses at which the page shows one of its own pages. */
const PAGES = ['/', '/alerts', '/dead-letters', '/lag'] as const;

const NOT_BUILT = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Weir</title>
<h1>The dashboard has not been built</h1>
<p>Build it with <code>npm run build -w apps/dashboard</code> and load this page again; the gateway need not be restarted.</p>
<p>The API works without it: <a href="/docs">read its documentation</a>, or ask for
<a href="/api/v1/status">the state of the pipeline</a>.</p>
</html>
`;

/**
 * Serves the built dashboard from `folder`. Files under `assets/` carry a hash in their name and are kept by browsers
 * for a year; the page itself is asked for each time. Not built: a page that says how.
 */
export async function servePage(app: FastifyInstance, folder: string): Promise<void> {
  await app.register(fastifyStatic, {
    root: folder,
    // Looked up at each request: a build while the gateway runs is seen at once.
    wildcard: true,
    index: false,
    redirect: false,
    decorateReply: true,
    setHeaders: (reply, path) => {
      const hashed = path.includes('/assets/');
      reply.header('cache-control', hashed ? 'public, max-age=31536000, immutable' : 'no-cache');
    },
  });
  for (const path of PAGES) {
    app.get(path, { schema: { hide: true } }, async (_request, reply) => {
      if (existsSync(join(folder, 'index.html'))) return reply.sendFile('index.html');
      return reply
        .code(503)
        .header('cache-control', 'no-store')
        .type('text/html; charset=utf-8')
        .send(NOT_BUILT);
    });
  }
}
