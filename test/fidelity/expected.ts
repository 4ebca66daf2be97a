import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { PlainRow } from '../../pipeline/observations/plain-rows.ts';

/** Rows of the Python pipeline, by table. */
export type Tables = Record<string, PlainRow[]>;

/** One measurement of `rows.jsonl.gz`, or one scenario of `qa_rows.jsonl.gz` (which has a `case` and no `status`). */
export interface Expected {
  readonly key: string;
  readonly line: number;
  readonly case?: string;
  readonly measurement_uid?: string;
  readonly status?: 'ok' | 'lost';
  readonly tables?: Tables;
}

/** A set of measurements and their expected rows. */
export interface Corpus {
  readonly name: string;
  /** Root directory of the measurements; keys are relative to it. */
  readonly archive: string;
  readonly expected: string;
}

const root = join(import.meta.dirname, '..', '..');

export const FIXTURES: Corpus = {
  name: 'test/fixtures/archive',
  archive: join(root, 'test/fixtures/archive'),
  expected: join(root, 'test/fixtures/expected'),
};

/** The larger corpus, in a directory beside the repository that may not exist. */
export const SHARED: Corpus = {
  name: 'shared/data/measurements',
  archive: join(root, '../shared/data/measurements'),
  expected: join(root, '../shared/data/expected'),
};

/** Returns the larger corpus if it exists, otherwise the fixtures. */
export function corpus(): Corpus {
  return existsSync(SHARED.expected) ? SHARED : FIXTURES;
}

/** Reads the expected results of a file of a corpus, by archive key, in the order of the file. */
export function readExpected(corpus: Corpus, file: 'rows.jsonl.gz' | 'qa_rows.jsonl.gz'): Map<string, Expected[]> {
  const text = gunzipSync(readFileSync(join(corpus.expected, file))).toString();
  const all = text.trimEnd().split('\n');
  return Map.groupBy(
    all.map(line => JSON.parse(line) as Expected),
    each => each.key,
  );
}
