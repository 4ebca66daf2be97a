import { createHash } from 'node:crypto';

/** The complete source of reference data cannot be used. Nothing was changed: the previously loaded data stay. */
export class ReferenceDataError extends Error {
  override name = 'ReferenceDataError';
}

/** An error in one row, which is omitted. */
export interface Problem {
  /** Location of the row: `fingerprints_dns.csv line 12`. */
  readonly where: string;
  readonly what: string;
}

/** Contents of a source. */
export interface Parsed<Row> {
  readonly rows: readonly Row[];
  readonly problems: readonly Problem[];
}

/** Limits of the number of rows of a source, both excluded, as in the Python updaters (analysis.md section 12). */
export interface Limits {
  readonly above: number;
  readonly below: number;
}

/** Maximum share of broken rows. With more, the complete source is rejected. */
const BROKEN_SHARE = 0.02;

/** Throws ReferenceDataError if a source has too few rows, too many rows or too many broken rows. */
export function assertPlausible(name: string, parsed: Parsed<unknown>, limits: Limits): void {
  const { rows, problems } = parsed;
  const first = problems[0] ? `; the first: ${problems[0].where}: ${problems[0].what}` : '';
  if (problems.length > BROKEN_SHARE * (rows.length + problems.length)) {
    throw new ReferenceDataError(
      `${name}: ${problems.length} of ${rows.length + problems.length} rows are broken${first}. Nothing was changed.`,
    );
  }
  if (rows.length <= limits.above || rows.length >= limits.below) {
    throw new ReferenceDataError(
      `${name} has ${rows.length} rows, where more than ${limits.above} and fewer than ${limits.below} are expected${first}. Nothing was changed.`,
    );
  }
}

/** Returns the SHA-256 of a source's bytes in hexadecimal. */
export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/**
 * Returns the name of a version: the day it was first loaded, and the hash of its source and of the way to read it (`digest`, hexadecimal).
 *
 * @param at milliseconds since 1970
 */
export function versionName(at: number, digest: string): string {
  return `${new Date(at).toISOString().slice(0, 10)}-${digest.slice(0, 12)}`;
}
