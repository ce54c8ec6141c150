import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { loadCredentials } from '../native/credentials.ts';
import { requireOffset } from '../native/ports.ts';
import { composeEnvironment } from './environment.ts';

// Writes .env, which `docker compose` reads by itself: node_modules/.bin/node infra/compose/env.ts [--data DIR] [--offset N]
const root = resolve(import.meta.dirname, '../..');
const { values } = parseArgs({
  options: {
    data: { type: 'string', default: join(root, '.weir') },
    offset: { type: 'string', default: '0' },
    file: { type: 'string', default: join(root, '.env') },
  },
});
const offset = Number(values.offset);
requireOffset(offset);
const lines = Object.entries(composeEnvironment(loadCredentials(resolve(values.data)), offset)).map(
  ([name, value]) => `${name}=${value}\n`,
);
writeFileSync(values.file, lines.join(''), { mode: 0o600 });
process.stdout.write(`${values.file}\n`);
