import { existsSync, readFileSync } from 'node:fs';
import { WeirError } from '@weir/flow';
import { parse } from 'yaml';
import type { z } from 'zod';
import { nearest } from './nearest.ts';
import { type Config, schema } from './schema.ts';

type Tree = { [key: string]: unknown };
const RESERVED = new Set(['WEIR_CONFIG', 'WEIR_DATA_DIR', 'WEIR_TEST_STACK']);

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
/** KAFKA, MAX_SIZE → kafka, maxSize */
const camel = (name: string): string =>
  name.toLowerCase().replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

function applyEnvironment(tree: Tree, env: NodeJS.ProcessEnv): void {
  for (const [variable, raw] of Object.entries(env)) {
    if (!variable.startsWith('WEIR_') || RESERVED.has(variable) || raw === undefined) continue;
    const fromFile = variable.endsWith('_FILE') && variable.includes('__') && !isKnownPath(variable);
    const path = (fromFile ? variable.slice(0, -5) : variable).slice(5).split('__').map(camel);
    let node = tree;
    for (const key of path.slice(0, -1)) {
      if (!isTree(node[key])) node[key] = {};
      node = node[key] as Tree;
    }
    const last = path.at(-1);
    if (last !== undefined) node[last] = fromFile ? readSecret(variable, raw) : raw;
  }
}

/** Whether the variable itself names a key (edge.tls.certFile), so that _FILE is part of the name. */
function isKnownPath(variable: string): boolean {
  let node: unknown = schema;
  for (const key of variable.slice(5).split('__').map(camel)) {
    const shape = shapeOf(node);
    if (shape === undefined || !(key in shape)) return false;
    node = shape[key];
  }
  return true;
}

function readSecret(variable: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    throw new WeirError(
      'WEIR_CONFIG_INVALID',
      'fatal',
      `${variable} names the file ${file}, which cannot be read.`,
      error,
    );
  }
}

interface Def {
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly innerType?: unknown;
  readonly element?: unknown;
  readonly options?: readonly unknown[];
}
const defOf = (node: unknown): Def | undefined => (node as { def?: Def } | undefined)?.def;

/** The keys of an object schema behind any number of wrappers (default, prefault, optional). */
export function shapeOf(node: unknown): Readonly<Record<string, z.ZodType>> | undefined {
  const def = defOf(node);
  return def?.shape ?? (def?.innerType === undefined ? undefined : shapeOf(def.innerType));
}

/** The schemas that may stand at a path: those of a list's elements and of all kinds of a union. */
function schemasAt(path: readonly PropertyKey[]): readonly unknown[] {
  const unwrap = (node: unknown): unknown[] => {
    const def = defOf(node);
    if (def?.options !== undefined) return def.options.flatMap(unwrap);
    return def?.innerType === undefined ? [node] : unwrap(def.innerType);
  };
  return path.reduce<unknown[]>(
    (nodes, key) =>
      nodes
        .map((node) => (typeof key === 'number' ? defOf(node)?.element : shapeOf(node)?.[String(key)]))
        .flatMap(unwrap),
    unwrap(schema),
  );
}

function explain(issue: z.core.$ZodIssue): string {
  const path = issue.path.join('.');
  if (issue.code !== 'unrecognized_keys') return `  ${path}: ${issue.message}`;
  const known = schemasAt(issue.path).flatMap((node) => Object.keys(shapeOf(node) ?? {}));
  return issue.keys
    .map((key) => {
      const guess = nearest(key, known);
      const where = path === '' ? key : `${path}.${key}`;
      return `  ${where}: no such setting${guess === undefined ? '' : `; did you mean "${guess}"?`}`;
    })
    .join('\n');
}

export interface LoadOptions {
  readonly file?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Reads weir.yaml (`WEIR_CONFIG`, else ./weir.yaml when it exists), lays the `WEIR_` variables over it and checks
 * the whole. Touches no network. Throws `WEIR_CONFIG_INVALID` with one line for each mistake.
 */
export function loadConfig(options: LoadOptions = {}): Config {
  const env = options.env ?? process.env;
  const file = options.file ?? env.WEIR_CONFIG;
  const path = file ?? 'weir.yaml';
  let tree: Tree = {};
  if (file !== undefined || existsSync(path)) {
    try {
      const parsed: unknown = parse(readFileSync(path, 'utf8')) ?? {};
      if (!isTree(parsed)) throw new Error('the top level must be a mapping of sections');
      tree = parsed;
    } catch (error) {
      throw new WeirError(
        'WEIR_CONFIG_INVALID',
        'fatal',
        `Reading the configuration ${path}: ${(error as Error).message}`,
        error,
      );
    }
  }
  applyEnvironment(tree, env);
  const result = schema.safeParse(tree);
  if (result.success) return result.data;
  const lines = result.error.issues.map(explain).join('\n');
  throw new WeirError(
    'WEIR_CONFIG_INVALID',
    'fatal',
    `The configuration (${path} and WEIR_ variables) has ${result.error.issues.length === 1 ? 'a mistake' : 'mistakes'}:\n${lines}`,
  );
}
