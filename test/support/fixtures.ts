import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** A few MB of real measurements in the layout of the archive. */
export const FIXTURES = join(import.meta.dirname, '../fixtures/archive');

/** OONI's list of DNS block pages. */
export const FINGERPRINTS = join(import.meta.dirname, '../fixtures/fingerprints/fingerprints_dns.csv');
export const HTTP_FINGERPRINTS = join(import.meta.dirname, '../fixtures/fingerprints/fingerprints_http.csv.gz');

/** The Citizen Lab test lists, packed as GitHub does. */
export const TEST_LISTS = join(import.meta.dirname, '../fixtures/test-lists.tar.gz');

/** Expected result for one measurement of the fixtures. */
export interface ExpectedMeasurement {
  readonly key: string;
  readonly line: number;
  readonly measurement_uid: string;
  readonly test_name: string;
  readonly status: 'ok' | 'lost';
  readonly tables: Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;
}

let expected: readonly ExpectedMeasurement[] | undefined;

/** Returns the rows of the Python pipeline, replaced by our own where docs/deviations.md lists the difference. */
export function expectedMeasurements(): readonly ExpectedMeasurement[] {
  if (!expected) {
    const dir = join(import.meta.dirname, '../fixtures/expected');
    expected = withDeviants(readExpected(dir), readLines(join(dir, 'deviating.jsonl.gz')));
  }
  return expected;
}

/** Replaces the rows of deviating measurements with our own. */
export function withDeviants(
  measurements: readonly ExpectedMeasurement[],
  deviants: readonly Pick<ExpectedMeasurement, 'key' | 'line' | 'tables'>[],
): ExpectedMeasurement[] {
  const placeOf = ({ key, line }: Pick<ExpectedMeasurement, 'key' | 'line'>) => `${key}:${line}`;
  const deviating = new Map(deviants.map(each => [placeOf(each), each.tables]));
  return measurements.map(each => {
    const tables = deviating.get(placeOf(each));
    return tables ? { ...each, status: 'ok', tables } : each;
  });
}

/** Reads `rows.jsonl.gz` of a directory. */
export function readExpected(dir: string): ExpectedMeasurement[] {
  return readLines(join(dir, 'rows.jsonl.gz'));
}

function readLines<T>(path: string): T[] {
  return gunzipSync(readFileSync(path))
    .toString()
    .split('\n')
    .filter(Boolean)
    .map(line => JSON.parse(line) as T);
}

/** Returns the upload day of a key of the fixtures. */
export function dayOfKey(key: string): string {
  const [, year, month, day] = /\/(\d{4})(\d{2})(\d{2})\//.exec(key)!;
  return `${year}-${month}-${day}`;
}

/** Returns the expected number of rows of a table in some buckets, by measurement uid. */
export function expectedRows(
  table: string,
  days: readonly string[],
  measurements: readonly ExpectedMeasurement[] = expectedMeasurements(),
): Map<string, number> {
  const rows = new Map<string, number>();
  for (const { key, measurement_uid, tables } of measurements) {
    const count = tables?.[table]?.length ?? 0;
    if (days.includes(dayOfKey(key)) && count > 0) rows.set(measurement_uid, (rows.get(measurement_uid) ?? 0) + count);
  }
  return rows;
}
