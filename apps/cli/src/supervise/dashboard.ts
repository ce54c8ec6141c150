import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { WeirError } from '@weir/flow';
import { ROOT } from '../paths.ts';

const DASHBOARD = join(ROOT, 'apps/dashboard');
const STAMP = join(DASHBOARD, 'dist', '.sources');
const SOURCES = [
  'apps/dashboard/{package.json,index.html,vite.config.ts,tsconfig.json}',
  'apps/dashboard/{src,public}/**/*',
  'libs/{api,topology}/src/**/*.ts',
];

/** Hash over the names and contents of everything that the page is built from. */
export function dashboardSources(): string {
  const hash = createHash('sha256');
  const files = globSync(SOURCES, { cwd: ROOT, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(file)).update('\0');
  return hash.digest('hex');
}

export function isDashboardBuilt(sources: string): boolean {
  return existsSync(STAMP) && readFileSync(STAMP, 'utf8') === sources;
}

/** Builds the page with Vite. The stamp is written last, so a build that was interrupted is done again. */
export async function buildDashboard(sources: string, onLine: (line: string) => void): Promise<void> {
  const lines: string[] = [];
  const child = spawn(process.execPath, [join(ROOT, 'node_modules/vite/bin/vite.js'), 'build'], {
    cwd: DASHBOARD,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      lines.push(text);
      onLine(text.trim().split('\n').at(-1) ?? '');
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) {
    throw new WeirError(
      'WEIR_STATE',
      'fatal',
      `Building the dashboard failed (exit code ${code}):\n${lines.join('').trimEnd()}`,
    );
  }
  writeFileSync(STAMP, sources);
}
