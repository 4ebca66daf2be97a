import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const SOURCES = '{crds,pipeline,worker,operator,clickhouse,cli,local,test,tools,docs}/**/*.{ts,wat,md}';
/** Matches citations such as "archive.md sections 7 and 11" and "analysis.md section 3.1", also over a line break of the comment. */
const CITATION =
  /\b(archive|observations|tables|analysis|orchestration)\.md\s+(?:\*\s+)?sections?\s+(?:\*\s+)?((?:\d+(?:\.\d+)?(?:,?\s+(?:\*\s+)?(?:and|to)\s+|,\s+)?)+)/g;

test('docs/spec contains each section that a comment cites', () => {
  const missing: string[] = [];
  let citations = 0;
  const headings = new Map<string, Set<string>>();
  for (const file of globSync('docs/spec/*.md', { cwd: ROOT })) {
    const found = readFileSync(join(ROOT, file), 'utf8').matchAll(/^#{2,3} (\d+(?:\.\d+)?)[. ]/gm);
    headings.set(file.replace(/^docs\/spec\//, ''), new Set([...found].map(match => match[1] as string)));
  }
  for (const file of globSync(SOURCES, { cwd: ROOT })) {
    for (const [, page, sections] of readFileSync(join(ROOT, file), 'utf8').matchAll(CITATION)) {
      for (const section of sections!.match(/\d+(?:\.\d+)?/g)!) {
        citations += 1;
        if (!headings.get(`${page}.md`)?.has(section)) missing.push(`${file} cites ${page}.md section ${section}`);
      }
    }
  }
  expect(missing).toEqual([]);
  expect(citations).toBeGreaterThan(50);
});
