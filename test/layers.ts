import { globSync } from 'node:fs';

export interface Step {
  readonly name: string;
  /** Arguments of the running node, or a command of node_modules/.bin when `bin` is set. */
  readonly bin?: string;
  readonly arguments: readonly string[];
}

export const STATIC_STEPS: readonly Step[] = [
  { name: 'lint and format', bin: 'biome', arguments: ['ci', '--error-on-warnings', '.'] },
  { name: 'types', bin: 'tsc', arguments: ['-p', 'tsconfig.json'] },
  { name: 'types of the page', bin: 'tsc', arguments: ['-p', 'apps/dashboard/tsconfig.json', '--noEmit'] },
  {
    name: 'import directions',
    bin: 'depcruise',
    arguments: ['--config', '.dependency-cruiser.mjs', 'apps', 'libs', 'infra', 'load', 'test'],
  },
  { name: 'unused files, exports and dependencies', bin: 'knip', arguments: [] },
  { name: 'rendered files', arguments: ['infra/render.ts', '--check'] },
];

export type LayerName = 'unit' | 'it' | 'journey' | 'faults';
export interface Layer {
  readonly name: LayerName;
  readonly title: string;
  readonly needsServers: boolean;
  readonly files: readonly string[];
  /** Test files at a time. */
  readonly concurrency: number;
}

const find = (...patterns: string[]): string[] =>
  globSync(patterns, { exclude: (path) => path.includes('node_modules') || path.includes('/dist') }).sort();

export const LAYERS: readonly Layer[] = [
  {
    name: 'unit',
    title: 'unit and property tests, no server',
    needsServers: false,
    files: find('{apps,libs,infra,load,test}/**/*.test.ts'),
    concurrency: 2,
  },
  {
    name: 'it',
    title: 'connectors and apps on real servers',
    needsServers: true,
    files: find('{apps,libs,infra,load}/**/*.it.ts'),
    concurrency: 2,
  },
  {
    name: 'journey',
    title: 'journeys through the whole of Weir',
    needsServers: true,
    files: find('test/journeys/*.it.ts'),
    concurrency: 1,
  },
  {
    name: 'faults',
    title: 'faults, the short selection',
    needsServers: true,
    files: find('test/faults/*.it.ts'),
    concurrency: 1,
  },
];
