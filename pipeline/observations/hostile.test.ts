import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { EVERYTHING } from '../filter.ts';
import { openIpMetadata } from '../reference/ip-metadata.ts';
import { RowEncoder } from '../tables/encoder.ts';
import { OBSERVATION_TABLES } from '../tables/schema.ts';
import { plainRows } from './plain-rows.ts';
import { Transformer } from './transformer.ts';

/** Real measurements of every test in the fixtures, some of each, damaged in many ways. */
const archive = join(import.meta.dirname, '../../test/fixtures/archive');
const byTest = new Map<string, string[]>();
for (const path of globSync('**/*.jsonl.gz', { cwd: archive }).sort()) {
  for (const line of gunzipSync(readFileSync(join(archive, path)))
    .toString()
    .trimEnd()
    .split('\n')) {
    const name = /"test_name":\s*"([^"]*)"/.exec(line)?.[1] ?? '';
    const some = byTest.get(name) ?? [];
    if (some.length < 12 && line.length < 200_000) byTest.set(name, [...some, line]);
  }
}

type Path = [object, string][];

/** Returns all members, those of a document itself before those inside them. */
function members(value: unknown, found: Path = []): Path {
  if (typeof value !== 'object' || value === null) return found;
  for (const key of Object.keys(value)) found.push([value, key]);
  for (const each of Object.values(value)) members(each, found);
  return found;
}

const anyValue = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(
    '',
    '[scrubbed]',
    '1.2.3.4:443',
    '[::1',
    'http://[',
    '\ud800',
    'AS1',
    '2020-01-01 00:00:00',
    'x'.repeat(2000),
  ),
  fc.constantFrom(-1, 2 ** 31, 2 ** 53, 1e300, -0),
  fc.constant({ format: 'base64', data: '!' }),
);
const change = fc.record({
  // Half of the changes concern the document's own members, which decide whether it is skipped or unsupported.
  where: fc.oneof(fc.nat(), fc.nat(24)),
  how: fc.constantFrom('replace', 'remove', 'repeat', 'prototype'),
  value: anyValue,
});

function apply(document: object, { where, how, value }: { where: number; how: string; value: unknown }): void {
  const all = members(document);
  const [parent, key] = all[where % all.length] ?? [];
  if (!parent || key === undefined) return;
  const target = parent as Record<string, unknown>;
  if (how === 'replace') target[key] = value;
  else if (how === 'remove') delete target[key];
  else if (how === 'repeat' && Array.isArray(parent)) parent.push(...parent);
  else Object.defineProperty(parent, '__proto__', { value, enumerable: true, configurable: true, writable: true });
}

/** By number, so that a counterexample is readable. */
const lines = [...byTest.values()];
const measurement = fc.tuple(fc.nat(lines.length - 1), fc.nat(11)).map(([test, i]) => ({ test, i }));
const lineOf = ({ test, i }: { test: number; i: number }) => lines[test]![i % lines[test]!.length]!;

it('writes all rows of any document or none, and returns a counted outcome', () => {
  const encoder = new RowEncoder();
  const transformer = new Transformer({
    bucket: '2024-01-01',
    generation: 1,
    createdAt: 1,
    filter: EVERYTHING,
    ipMetadata: openIpMetadata(undefined),
    encoder,
  });
  const seen = new Map<string, number>();
  fc.assert(
    fc.property(
      measurement,
      fc.array(change, { maxLength: 4 }),
      fc.option(fc.nat(), { freq: 1 }),
      (which, changes, cut) => {
        const document = JSON.parse(lineOf(which)) as object;
        for (const each of changes) apply(document, structuredClone(each));
        const text = Buffer.from(JSON.stringify(document));
        const outcome = transformer.transform(
          { line: 1, bytes: cut === null ? text : text.subarray(0, cut % text.length) },
          'key',
        );
        seen.set(outcome.status, (seen.get(outcome.status) ?? 0) + 1);
        const blocks = OBSERVATION_TABLES.map(({ name }) => encoder.take(name)).filter(block => block !== undefined);
        if (outcome.status === 'failed') {
          expect(outcome.error!.message.length).toBeGreaterThan(0);
          // A defect in this code would appear as one of these classes.
          expect(['TypeError', 'ReferenceError', 'RangeError']).not.toContain(outcome.error!.class);
        }
        if (outcome.status !== 'transformed') expect(blocks).toEqual([]);
        for (const block of blocks) expect(plainRows(block)).toHaveLength(block.rows);
      },
    ),
    { numRuns: 3000 },
  );
  expect([...seen.keys()].sort()).toEqual(['failed', 'skipped', 'transformed', 'unsupported']);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
});
