import { isDeepStrictEqual } from 'node:util';
import type { PlainRow } from '../../pipeline/observations/plain-rows.ts';
import type { Tables } from './expected.ts';
import { regrouped } from './regrouped.ts';

/** One difference between our result and the expected one. `column` is `*` for a complete row or measurement. */
export interface Difference {
  readonly key: string;
  readonly line: number;
  readonly testName: string;
  readonly table: string;
  readonly column: string;
  readonly got: unknown;
  readonly expected: unknown;
}

/** An intended difference, with the id of its explanation in docs/deviations.md. */
export interface Deviation {
  readonly id: string;
  readonly covers: (difference: Difference) => boolean;
}

/** The deviations of single columns that occur in the corpus. */
const DEVIATIONS: readonly Deviation[] = [
  {
    id: 'binary-header-in-map',
    covers: ({ column, got, expected }) =>
      /^http_response_header_(location|server)$/.test(column) && got === binaryInPython(expected),
  },
];

/** Returns the text of a binary value that Python converted to text, or undefined for any other value. */
function binaryInPython(value: unknown): string | undefined {
  const data = /^\{(?:'format': 'base64', )?'data': '([A-Za-z0-9+/=]*)'(?:, 'format': 'base64')?\}$/.exec(
    String(value),
  )?.[1];
  return data === undefined ? undefined : Buffer.from(data, 'base64').toString();
}

/** Result of comparing the rows of a measurement. */
export interface Comparison {
  readonly compared: number;
  readonly equal: number;
  /** Number of rows that differ as listed, by the id of the deviation. */
  readonly deviating: Map<string, number>;
  readonly unexplained: readonly Difference[];
}

/** Compares the rows of one measurement by table, row and column. */
export function compareTables(
  place: Pick<Difference, 'key' | 'line' | 'testName'>,
  got: Tables,
  expected: Tables,
): Comparison {
  let compared = 0;
  let equal = 0;
  const deviating = new Map<string, number>();
  const unexplained: Difference[] = [];
  for (const table of new Set([...Object.keys(expected), ...Object.keys(got)])) {
    const pairs = align(table, got[table] ?? [], expected[table] ?? []);
    const regroupedRows = table === 'obs_web' ? regroupedIn(pairs, got[table] ?? [], expected[table] ?? []) : undefined;
    if (regroupedRows) {
      const { length } = got[table] ?? [];
      const deviate = [...regroupedRows.values()].reduce((sum, rows) => sum + rows, 0);
      compared += length;
      equal += length - deviate;
      for (const [id, rows] of regroupedRows) deviating.set(id, (deviating.get(id) ?? 0) + rows);
      continue;
    }
    for (const [ours, theirs] of pairs) {
      compared++;
      const differences = compareRow(ours, theirs).map(difference => ({ ...place, table, ...difference }));
      const reasons = differences.map(difference => DEVIATIONS.find(({ covers }) => covers(difference))?.id);
      if (differences.length === 0) equal++;
      for (const id of new Set(reasons)) if (id !== undefined) deviating.set(id, (deviating.get(id) ?? 0) + 1);
      unexplained.push(...differences.filter((_, i) => reasons[i] === undefined));
    }
  }
  return { compared, equal, deviating, unexplained };
}

/** Returns the deviations of rows that are joined differently. Returns undefined if the rows are equal, or differ in more than the join. */
function regroupedIn(
  pairs: readonly Pair[],
  ours: readonly PlainRow[],
  theirs: readonly PlainRow[],
): Map<string, number> | undefined {
  return pairs.every(([a, b]) => isDeepStrictEqual(a, b)) ? undefined : regrouped(ours, theirs);
}

type Pair = readonly [ours: PlainRow | undefined, theirs: PlainRow | undefined];

/**
 * Pairs the rows in the order in which they are written. The expected rows of `obs_web_ctrl` are sorted and have no index, because
 * upstream writes some of them in the order of a set. The index of our rows must run from 0.
 */
function align(table: string, ours: readonly PlainRow[], theirs: readonly PlainRow[]): Pair[] {
  let [left, right] = [ours, theirs];
  if (table === 'obs_web_ctrl' && theirs.every(row => row.observation_idx === undefined)) {
    left = sorted(
      ours.map(({ observation_idx, ...row }, i) =>
        observation_idx === i ? row : { ...row, observation_idx: observation_idx ?? 'none' },
      ),
    );
    right = sorted(theirs);
  }
  return Array.from({ length: Math.max(left.length, right.length) }, (_, i) => [left[i], right[i]] as const);
}

function sorted(rows: readonly PlainRow[]): PlainRow[] {
  const text = (row: PlainRow) => JSON.stringify(Object.entries(row).sort(([a], [b]) => (a < b ? -1 : 1)));
  return rows.toSorted((a, b) => (text(a) < text(b) ? -1 : 1));
}

function compareRow(
  ours: PlainRow | undefined,
  theirs: PlainRow | undefined,
): Pick<Difference, 'column' | 'got' | 'expected'>[] {
  if (!ours || !theirs) return [{ column: '*', got: ours ? 'a row' : 'no row', expected: theirs ? 'a row' : 'no row' }];
  const columns = new Set([...Object.keys(theirs), ...Object.keys(ours)]);
  return [...columns]
    .filter(column => !isDeepStrictEqual(ours[column], theirs[column]))
    .map(column => ({ column, got: ours[column], expected: theirs[column] }));
}
