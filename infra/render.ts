import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { settingsTable } from '@weir/config';
import { renderCompose } from './compose/render.ts';

/**
 * Renders what documentation repeats from code: the settings tables between `<!-- settings:a,b -->` (all settings
 * when no section is named) and `<!-- /settings -->`, and the container files from the tables of infra/compose.
 * `--check` writes nothing and fails when a file has drifted.
 */
const root = join(import.meta.dirname, '..');
const check = process.argv.includes('--check');
const BLOCK = /(<!-- settings(?::([\w.,-]+))? -->\n)[\s\S]*?(<!-- \/settings -->)/g;

const drifted = renderCompose({ write: !check });
const files = globSync(['README.md', '{apps,libs,infra,load,test}/**/*.md'], {
  cwd: root,
  exclude: (path) => path.includes('node_modules'),
});
for (const file of files) {
  const before = readFileSync(join(root, file), 'utf8');
  const after = before.replace(
    BLOCK,
    (_, open: string, sections: string | undefined, close: string) =>
      `${open}${settingsTable(sections?.split(',') ?? [])}\n${close}`,
  );
  if (after === before) continue;
  drifted.push(file);
  if (!check) writeFileSync(join(root, file), after);
}
if (drifted.length > 0) {
  process.stdout.write(`${check ? 'out of date, run npm run render' : 'rendered'}: ${drifted.join(', ')}\n`);
  if (check) process.exitCode = 1;
}
