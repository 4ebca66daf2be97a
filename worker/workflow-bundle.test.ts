import { readFileSync } from 'node:fs';
import { dirname, join, matchesGlob, relative } from 'node:path';
import { expect, test } from 'vitest';
import { SOURCES, WORKFLOWS_PATH } from './workflow-bundle.ts';

const ROOT = join(import.meta.dirname, '..');

/** Returns the files of the project whose code the workflows contain. Imports of types alone have no code. */
function imported(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  const imports = readFileSync(file, 'utf8').matchAll(/^(?:import|export)\s+(?!type\b)[^'";]*?from\s+'(\.[^']+)'/gm);
  for (const [, path = ''] of imports) imported(join(dirname(file), path), found);
  return found;
}

test('the stamp of the bundle covers every file that the workflows import', () => {
  const files = [...imported(WORKFLOWS_PATH)].map(file => relative(ROOT, file));
  expect(files).toContain('worker/workflows/bucket-workflow.ts');
  expect(files).toContain('pipeline/counts.ts');
  expect(files.filter(file => !SOURCES.some(pattern => matchesGlob(file, pattern)))).toEqual([]);
});
