import type { Table } from './schema.ts';

/**
 * Reference data (tables.md section 4, analysis.md section 12). A load replaces a whole table at once. The table's comment contains the
 * loaded version; it moves with the table when the table is swapped, so data and version always match.
 *
 * `fingerprints_*` are plain MergeTree tables here, where the Python pipeline uses EmbeddedRocksDB: every read is of the whole table, the
 * server copies it to the replicas, and a load also replaces the engine of an existing table.
 */
const FINGERPRINT_COLUMNS = (scopes: readonly string[]) =>
  [
    ['name', 'String'],
    ['scope', enumeration(scopes)],
    ['other_names', 'String'],
    ['location_found', 'String'],
    ['pattern_type', enumeration(PATTERN_TYPES)],
    ['pattern', 'String'],
    ['confidence_no_fp', 'UInt8'],
    ['expected_countries', 'String'],
    ['source', 'String'],
    ['exp_url', 'String'],
    ['notes', 'String'],
  ] as const;

export const PATTERN_TYPES = ['full', 'prefix', 'contains', 'regexp'] as const;
export const DNS_SCOPES = ['nat', 'isp', 'prod', 'inst', 'vbw', 'fp'] as const;
export const HTTP_SCOPES = [...DNS_SCOPES, 'injb', 'prov'] as const;

function enumeration(values: readonly string[]): string {
  return `Enum8(${values.map((value, index) => `'${value}' = ${index + 1}`).join(', ')})`;
}

export const FINGERPRINTS_DNS = {
  name: 'fingerprints_dns',
  columns: FINGERPRINT_COLUMNS(DNS_SCOPES),
  engine: 'MergeTree',
  orderBy: ['name'],
} as const satisfies Table;

export const FINGERPRINTS_HTTP = {
  name: 'fingerprints_http',
  columns: FINGERPRINT_COLUMNS(HTTP_SCOPES),
  engine: 'MergeTree',
  orderBy: ['name'],
} as const satisfies Table;

const CITIZENLAB = {
  name: 'citizenlab',
  columns: [
    ['domain', 'String'],
    ['url', 'String'],
    ['cc', 'FixedString(32)'],
    ['category_code', 'String'],
  ],
  engine: 'ReplacingMergeTree',
  orderBy: ['domain', 'url', 'cc', 'category_code'],
} as const satisfies Table;

const ASNMETA = {
  name: 'asnmeta',
  columns: [
    ['asn', 'UInt32'],
    ['org_name', 'String'],
    ['cc', 'String'],
    ['changed', 'Date'],
    ['aut_name', 'String'],
    ['source', 'String'],
  ],
  engine: 'MergeTree',
  orderBy: ['asn', 'changed'],
} as const satisfies Table;

/** Every version of reference data that was loaded, and the problems of its source. */
export const REFERENCE_VERSIONS = {
  name: 'reference_versions',
  columns: [
    ['name', 'LowCardinality(String)'],
    ['version', 'String'],
    ['source', 'String'],
    ['sha256', 'String'],
    ['rows', 'UInt64'],
    ['broken_rows', 'UInt64'],
    ['problems', 'Array(String)'],
    ['loaded_at', "DateTime64(3, 'UTC')"],
  ],
  engine: 'ReplacingMergeTree(loaded_at)',
  orderBy: ['name', 'version'],
} as const satisfies Table;

export const REFERENCE_TABLES = [FINGERPRINTS_DNS, FINGERPRINTS_HTTP, CITIZENLAB, ASNMETA] as const;
