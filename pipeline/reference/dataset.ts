import { createHash } from 'node:crypto';

/** A source of reference data that cannot be used as a whole. Nothing was changed; what was loaded before stays. */
export class ReferenceDataError extends Error {
  override name = 'ReferenceDataError';
}

/** Something wrong with one row, which is left out. */
export interface Problem {
  /** Where: `fingerprints_dns.csv line 12`. */
  readonly where: string;
  readonly what: string;
}

/** What a source holds. */
export interface Parsed<Row> {
  readonly rows: readonly Row[];
  readonly problems: readonly Problem[];
}

/** How many rows a source may have, both ends excluded, as the Python updaters have it (analysis.md section 14). */
export interface Limits {
  readonly above: number;
  readonly below: number;
}

/** Share of broken rows above which a source is taken for broken as a whole. */
const BROKEN_SHARE = 0.02;

/** Throws ReferenceDataError when a source is too small, too large or too broken to be what it should be. */
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

/** SHA-256 of a source's bytes, in hexadecimal. */
export function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A version's name: the day it was first loaded, and what it holds. `at` is in milliseconds since 1970. */
export function versionName(at: number, sha256: string): string {
  return `${new Date(at).toISOString().slice(0, 10)}-${sha256.slice(0, 12)}`;
}
