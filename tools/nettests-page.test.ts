import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { NETTEST_GROUPS } from '../pipeline/analysis/nettest-groups.ts';
import { VIEWS } from '../pipeline/analysis/views.ts';
import { EVERYTHING } from '../pipeline/filter.ts';
import { NETTESTS } from '../pipeline/observations/nettests.ts';
import { takePlainRows } from '../pipeline/observations/plain-rows.ts';
import { Transformer } from '../pipeline/observations/transformer.ts';
import { openIpMetadata } from '../pipeline/reference/ip-metadata.ts';
import { RowEncoder } from '../pipeline/tables/encoder.ts';

/* Compares docs/nettests.md with what the code makes of the measurements of the repository. */

const ROOT = join(import.meta.dirname, '..');
const ARCHIVE = join(ROOT, 'test/fixtures/archive');

interface Described {
  readonly rows: readonly string[];
  readonly outcome: readonly string[];
  readonly criterion: string;
}

const [withRows, without] = tables(readFileSync(join(ROOT, 'docs/nettests.md'), 'utf8'));
const DESCRIBED = new Map(
  withRows!.map(([name, rows, outcome, criterion]): [string, Described] => [
    name!,
    { rows: names(rows!), outcome: names(outcome!), criterion: criterion! },
  ]),
);
const WITHOUT_ROWS = without!.map(([name]) => name!);

/** Returns the tables of a page, as the cells of their rows. */
function tables(page: string): string[][][] {
  const blocks = page.match(/(?:^\|.*\n)+/gm) ?? [];
  return blocks.map(block =>
    block
      .trimEnd()
      .split('\n')
      .slice(2)
      .map(line => line.slice(2, -2).split(' | ')),
  );
}

/** Returns the names in code quotes, in text order. */
function names(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!).sort();
}

interface Made {
  /** Tables with rows, in text order. */
  readonly tables: Set<string>;
  readonly states: Set<string>;
}

/** Transforms every measurement of the repository. */
function transformAll(): Map<string, Made> {
  const made = new Map<string, Made>();
  const encoder = new RowEncoder();
  const facts = { bucket: '2024-01-02', generation: 1, createdAt: 1, filter: EVERYTHING };
  const transformer = new Transformer({ ...facts, ipMetadata: openIpMetadata(undefined), encoder });
  for (const path of globSync('**/*.jsonl.gz', { cwd: ARCHIVE })) {
    const lines = gunzipSync(readFileSync(join(ARCHIVE, path)))
      .toString()
      .trimEnd()
      .split('\n');
    for (const line of lines) {
      const name = /"test_name": ?"(\w+)"/.exec(line)?.[1] ?? '';
      const { status } = transformer.transform({ line: 1, bytes: Buffer.from(`${line}\n`) }, 'key');
      const each = made.get(name) ?? { tables: new Set(), states: new Set() };
      made.set(name, each);
      each.states.add(status);
      const rows = Object.entries(takePlainRows(encoder)).filter(([, list]) => list.length > 0);
      for (const [table] of rows) each.tables.add(table);
    }
  }
  return made;
}

const MADE = transformAll();

test('the page has each test that the code supports, and each test of the fixtures', () => {
  expect([...DESCRIBED.keys()].sort(), 'rows of docs/nettests.md').toEqual(Object.keys(NETTESTS).sort());
  expect([...DESCRIBED.keys(), ...WITHOUT_ROWS]).toEqual(expect.arrayContaining([...MADE.keys()]));
  expect(WITHOUT_ROWS.filter(name => DESCRIBED.has(name))).toEqual([]);
});

test.each([...DESCRIBED])('%s has the tables and views that the page names', (name, { rows, outcome, criterion }) => {
  const made = MADE.get(name);
  // The only document of http_host has no start.
  if (made?.states.has('transformed')) expect([...made.tables].sort()).toEqual(rows);
  const views = [
    ...(rows.includes('obs_web') ? ['measurement_verdicts'] : []),
    ...(NETTEST_GROUPS.im!.includes(name) ? ['blocking_by_target'] : []),
    ...(name === 'web_connectivity' ? ['page_speeds'] : []),
    ...(rows.includes('obs_tunnel') ? ['tunnel_verdicts'] : []),
  ];
  expect(outcome).toEqual(views.sort());
  for (const view of outcome) expect(VIEWS.map(each => each.name)).toContain(view);
  expect(criterion).toMatch(/\w{3}/);
});

test.each(WITHOUT_ROWS)('%s has no rows', name => {
  const { tables, states } = MADE.get(name)!;
  expect([...tables]).toEqual([]);
  // Documents of data formats before 0.2.0 have no start of the measurement, and fail before their test matters.
  expect(states.has('transformed')).toBe(false);
});
