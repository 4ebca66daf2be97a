import { parseRegexp } from '../measurement/regexps.ts';
import { DNS_SCOPES, HTTP_SCOPES, PATTERN_TYPES } from '../tables/reference-tables.ts';
import { readCsv } from './csv.ts';
import type { Limits, Parsed, Problem } from './dataset.ts';

/** A row of `fingerprints_dns` or `fingerprints_http`. */
export interface Fingerprint {
  readonly name: string;
  readonly scope: string;
  readonly other_names: string;
  readonly location_found: string;
  readonly pattern_type: string;
  readonly pattern: string;
  readonly confidence_no_fp: number;
  readonly expected_countries: string;
  readonly source: string;
  readonly exp_url: string;
  readonly notes: string;
}

export const FINGERPRINT_LIMITS: Limits = { above: 100, below: 50_000 };

const COLUMNS = [
  'name',
  'scope',
  'other_names',
  'location_found',
  'pattern_type',
  'pattern',
  'confidence_no_fp',
  'expected_countries',
  'source',
  'exp_url',
  'notes',
] as const;

/**
 * Reads a fingerprint file of ooni/blocking-fingerprints (analysis.md section 12). An invalid row is reported as a problem and omitted: an
 * unknown scope or pattern type, an empty pattern, a repeated name, a regular expression that could not be matched in linear time. Throws
 * ReferenceDataError for a file that is not a fingerprint file.
 */
export function readFingerprints(bytes: Uint8Array, kind: 'dns' | 'http'): Parsed<Fingerprint> {
  const file = `fingerprints_${kind}.csv`;
  const { records, problems } = readCsv(file, bytes, COLUMNS);
  const found: Problem[] = [...problems];
  const rows: Fingerprint[] = [];
  const names = new Set<string>();
  for (const { line, values } of records) {
    const row = { ...(values as unknown as Fingerprint), confidence_no_fp: Number(values.confidence_no_fp) };
    const what = names.has(row.name) ? `the name ${row.name} occurs twice` : wrongWith(row, kind);
    if (what) {
      found.push({ where: `${file} line ${line}`, what });
      continue;
    }
    names.add(row.name);
    rows.push(row);
  }
  return { rows, problems: found };
}

function wrongWith(row: Fingerprint, kind: 'dns' | 'http'): string | undefined {
  const scopes: readonly string[] = kind === 'dns' ? DNS_SCOPES : HTTP_SCOPES;
  const types: readonly string[] = PATTERN_TYPES;
  if (row.name === '') return 'no name';
  if (!scopes.includes(row.scope)) return `scope "${row.scope}" is none of ${scopes.join(', ')}`;
  if (!types.includes(row.pattern_type)) return `pattern_type "${row.pattern_type}" is none of ${types.join(', ')}`;
  // An empty pattern would match everything.
  if (row.pattern === '') return 'no pattern';
  if (!Number.isInteger(row.confidence_no_fp) || row.confidence_no_fp < 0 || row.confidence_no_fp > 255) {
    return 'confidence_no_fp is not a whole number from 0 to 255';
  }
  const countries = row.expected_countries.split(',').map(cc => cc.trim());
  if (row.expected_countries !== '' && !countries.every(cc => /^[A-Z]{2}$/.test(cc))) {
    return `expected_countries "${row.expected_countries}" are not country codes separated by commas`;
  }
  const place = kind === 'dns' ? /^dns$/ : /^(body|header\.\S+)$/;
  if (!place.test(row.location_found)) return `location_found "${row.location_found}" is not a known place`;
  if (kind === 'http' && row.pattern_type === 'regexp') {
    const regexp = parseRegexp(row.pattern);
    if (typeof regexp === 'string') return `the regular expression "${row.pattern}" cannot be used: ${regexp}`;
  }
  return undefined;
}
