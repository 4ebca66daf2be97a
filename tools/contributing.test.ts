import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const text = readFileSync(join(ROOT, 'CONTRIBUTING.md'), 'utf8');
const [, walk = ''] = text.split('## Where does a change go?');

/** Paths in the section; `<kind>` stands for any name. */
const paths = [...walk.split('## Rules')[0]!.matchAll(/`([\w.<>-]+\/[\w./<>-]*)`/g)].map(([, path = '']) => path);

test('the walk names a place for each kind of change', () => {
  expect(paths.length).toBeGreaterThan(20);
  const kinds = [
    'a nettest',
    'a rule',
    'a field',
    'a setting',
    'a CLI command',
    'a metric',
    'an alert',
    'a value of the chart',
  ];
  for (const kind of [...kinds, 'a column', 'a migration', 'a page', 'a chart or dashboard']) {
    expect(walk).toContain(`| ${kind}`);
  }
});

test.each([...new Set(paths)])('%s exists', path => {
  expect(globSync(path.replace(/<\w+>/g, '*'), { cwd: ROOT })).not.toEqual([]);
});
