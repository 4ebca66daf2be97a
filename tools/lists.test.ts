import { globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';
import { REASONS } from '../crds/conditions.ts';
import { MIGRATIONS } from '../pipeline/migrations/migrations.ts';
import { SETTINGS } from '../pipeline/settings.ts';

/* A new file, setting or reason has an effect only if other code names it. */

const ROOT = join(import.meta.dirname, '..');
const find = (pattern: string) => globSync(pattern, { cwd: ROOT }).sort();
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');

test('pipeline/migrations/migrations.ts lists each migration, and its file has its number and name', () => {
  const files = find('pipeline/migrations/[0-9]*.ts').map(path => basename(path, '.ts'));
  expect(MIGRATIONS.map(({ number, name }) => `${String(number).padStart(3, '0')}-${name}`)).toEqual(files);
});

test('cli/program.ts lists each file of cli/commands', () => {
  const files = find('cli/commands/*.ts').filter(path => !path.endsWith('.test.ts'));
  const program = read('cli/program.ts');
  expect(files.filter(path => !program.includes(`'./commands/${basename(path)}'`))).toEqual([]);
});

test('the code reads each setting, and gives each reason of a condition', () => {
  const sources = find('{pipeline,temporal,worker,operator,clickhouse,cli,local}/**/*.ts');
  const code = sources
    .filter(path => path !== 'pipeline/settings.ts' && !path.endsWith('.test.ts'))
    .map(read)
    .join('\n');
  expect(Object.keys(SETTINGS).filter(key => !new RegExp(`\\b${key}\\b`).test(code))).toEqual([]);
  expect(Object.keys(REASONS).filter(reason => !code.includes(`'${reason}'`))).toEqual([]);
});

/** Returns the text of a page without blocks of code. */
const prose = (page: string) => read(page).replaceAll(/^```.*?^```/gms, '');

/** Returns the anchor that GitHub makes of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-');
}

test('a page of docs is linked from another page, and each link between pages leads to a page and a heading', () => {
  const pages = ['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', ...find('docs/**/*.md')];
  const anchors = new Map(
    pages.map(page => [page, [...prose(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!))]),
  );
  const links = pages.flatMap(page =>
    [...prose(page).matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g)]
      .map(([, path = '', anchor]) => ({ page, to: path ? normalize(join(dirname(page), path)) : page, anchor }))
      .filter(({ to }) => to.endsWith('.md')),
  );
  const broken = links.filter(({ to, anchor }) => !(anchor ? anchors.get(to)?.includes(anchor) : anchors.has(to)));
  expect(broken.filter(({ to }) => !to.startsWith('test/'))).toEqual([]);
  const linked = new Set(links.filter(({ page, to }) => page !== to).map(({ to }) => to));
  expect(pages.filter(page => page !== 'README.md' && !linked.has(page))).toEqual([]);
});
