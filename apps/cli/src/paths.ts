import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Root of the checkout: every path of the project is relative to it, wherever `weir` is called from. */
export const ROOT = resolve(import.meta.dirname, '../../..');

/** Folder of everything that Weir keeps: `--data`, else WEIR_DATA_DIR, else `.weir` in the checkout. */
export function dataFolder(given: string | undefined): string {
  if (given !== undefined) return resolve(given);
  const variable = process.env.WEIR_DATA_DIR;
  return variable === undefined || variable === '' ? join(ROOT, '.weir') : resolve(variable);
}

/** The configuration file: WEIR_CONFIG, else weir.yaml of the checkout, else the demo's; undefined when none is there. */
export function configFile(): string | undefined {
  const given = process.env.WEIR_CONFIG;
  if (given !== undefined && given !== '') return resolve(given);
  return [join(ROOT, 'weir.yaml'), join(ROOT, 'infra/demo/weir.yaml')].find((path) => existsSync(path));
}
