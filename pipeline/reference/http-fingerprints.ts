import { PatternMatcher } from '../measurement/patterns.ts';
import { parseRegexp } from '../measurement/regexps.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { FINGERPRINTS_HTTP } from '../tables/reference-tables.ts';
import type { Fingerprint } from './fingerprints.ts';

type Row = Pick<Fingerprint, 'name' | 'scope' | 'location_found' | 'pattern_type' | 'pattern'>;

/**
 * Scope of fingerprints that pages of ordinary sites have (`Not found`, `Index of /`). A match says nothing of blocking, so they are not
 * searched, as in the analysis of DNS answers.
 */
const FALSE_POSITIVE = 'fp';

/** One version of the fingerprints for bodies and headers of responses, ready to search for. */
export class HttpFingerprints {
  readonly version: string;
  readonly matcher: PatternMatcher;
  readonly #names: readonly string[];

  /** @param rows of fingerprints_http; those with a regular expression that is not supported are left out, as by readFingerprints */
  constructor(rows: readonly Row[], version: string) {
    const usable = rows.filter(
      row =>
        row.scope !== FALSE_POSITIVE &&
        // Earlier versions of this program loaded all regular expressions.
        (row.pattern_type !== 'regexp' || typeof parseRegexp(row.pattern) !== 'string'),
    );
    this.version = version;
    this.#names = usable.map(({ name }) => name);
    this.matcher = new PatternMatcher(
      usable.map(row => ({ place: row.location_found, kind: row.pattern_type as 'full', text: row.pattern })),
    );
  }

  /** Returns the names of fingerprints by the indexes that the matcher returned. */
  namesOf(indexes: readonly number[]): readonly string[] {
    return indexes.map(index => this.#names[index]!);
  }
}

/** The version is in the comment of the table. The Python pipeline loads the table without one. */
const VERSION = `SELECT comment AS version FROM system.tables WHERE database = currentDatabase() AND name = '${FINGERPRINTS_HTTP.name}'`;

/**
 * Returns the fingerprints that are loaded, or undefined if none are, or if the table has no version. `known` is returned if it has the
 * version in use. Throws TableErrors.
 */
export async function readHttpFingerprints(
  clickhouse: ClickHouse,
  known: HttpFingerprints | undefined,
  signal?: AbortSignal,
): Promise<HttpFingerprints | undefined> {
  const versionNow = async () => (await clickhouse.select<{ version: string }>(VERSION, { signal }))[0]?.version ?? '';
  for (let version = await versionNow(); ; ) {
    if (version === '') return undefined;
    if (version === known?.version) return known;
    const rows = await clickhouse.select<Row>(
      `SELECT name, toString(scope) AS scope, location_found, toString(pattern_type) AS pattern_type, pattern FROM ${FINGERPRINTS_HTTP.name} ORDER BY name`,
      { signal },
    );
    const read = version;
    version = await versionNow();
    // The table and its comment are exchanged in one step, so the same version before and after belongs to these rows.
    if (version === read) return new HttpFingerprints(rows, read);
  }
}
