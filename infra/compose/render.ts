import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { APP_PORTS, DURABLE_QUEUES, EXCHANGES, PORTS } from '@weir/topology';
import { stringify } from 'yaml';
import { composeFile } from './services.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const HEADER = '# Rendered from infra/compose by `npm run render`; edit there.\n';

const prometheus = {
  global: { scrape_interval: '5s', scrape_timeout: '4s' },
  rule_files: ['rules/*.yml'],
  scrape_configs: Object.entries(APP_PORTS).map(([app, port]) => ({
    job_name: app,
    static_configs: [{ targets: [`${app}:${PORTS[port]}`] }],
  })),
};

/** For `POST /api/definitions/<virtual host>`: what the topology says, and no users or virtual hosts. */
const rabbitDefinitions = {
  exchanges: Object.values(EXCHANGES).map(({ name, kind }) => ({
    name,
    type: kind,
    durable: true,
    auto_delete: false,
    internal: false,
    arguments: {},
  })),
  queues: DURABLE_QUEUES.map((queue) => ({
    name: queue.name,
    durable: true,
    auto_delete: false,
    arguments: queue.arguments,
  })),
  bindings: DURABLE_QUEUES.flatMap((queue) =>
    queue.bindings.map(({ exchange, key }) => ({
      source: exchange,
      destination: queue.name,
      destination_type: 'queue',
      routing_key: key,
      arguments: {},
    })),
  ),
};

/** Every file that is rendered from the tables, as path in the checkout → text. */
export function renderedFiles(): ReadonlyMap<string, string> {
  const yaml = (value: unknown): string =>
    HEADER + stringify(value, { lineWidth: 0, nullStr: '', aliasDuplicateObjects: false });
  return new Map([
    ['docker-compose.yml', yaml(composeFile)],
    ['infra/prometheus/prometheus.yml', yaml(prometheus)],
    ['infra/rabbitmq/definitions.json', `${JSON.stringify(rabbitDefinitions, null, 2)}\n`],
  ]);
}

/** Names of the rendered files whose text in the checkout differs; with `write` they are brought up to date. */
export function renderCompose({ write }: { readonly write: boolean }): string[] {
  const drifted: string[] = [];
  for (const [path, text] of renderedFiles()) {
    const file = join(ROOT, path);
    let before: string | undefined;
    try {
      before = readFileSync(file, 'utf8');
    } catch {
      before = undefined; // Not there yet.
    }
    if (before === text) continue;
    drifted.push(path);
    if (write) writeFileSync(file, text);
  }
  return drifted;
}

if (import.meta.main) {
  const check = process.argv.includes('--check');
  const drifted = renderCompose({ write: !check });
  if (drifted.length > 0) {
    process.stdout.write(
      `${check ? 'out of date, run npm run render' : 'rendered'}: ${drifted.join(', ')}\n`,
    );
    if (check) process.exitCode = 1;
  }
}
