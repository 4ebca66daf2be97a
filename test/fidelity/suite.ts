import { DirectoryArchive } from '../../pipeline/archive/directory.ts';
import type { RawDocument } from '../../pipeline/archive/document.ts';
import { readDocuments } from '../../pipeline/archive/documents.ts';
import { type ArchiveFile, isBadKey, parseKey } from '../../pipeline/archive/keys.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import { takePlainRows } from '../../pipeline/observations/plain-rows.ts';
import { Transformer } from '../../pipeline/observations/transformer.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import { RowEncoder } from '../../pipeline/tables/encoder.ts';
import { OBSERVATION_TABLES } from '../../pipeline/tables/schema.ts';
import { compareTables, type Difference } from './compare.ts';
import { type Corpus, type Expected, readExpected, type Tables } from './expected.ts';

/** Result of comparing a corpus. */
export interface Report {
  measurements: number;
  ok: number;
  lost: number;
  /** Number of rows by table. */
  rows: Record<string, number>;
  compared: number;
  equal: number;
  deviating: Record<string, number>;
  /** Measurements with deviating rows, and our rows. */
  deviants: Deviant[];
  unexplained: Difference[];
}

/** A measurement with deviating rows. */
export interface Deviant {
  readonly key: string;
  readonly line: number;
  readonly tables: Tables;
}

const CREATED_AT = Date.UTC(2026, 0, 1);

/** Processes every measurement of a corpus with archive reader, transformer and encoder, decodes the rows and compares them. */
export async function compareCorpus(corpus: Corpus): Promise<Report> {
  const report: Report = {
    measurements: 0,
    ok: 0,
    lost: 0,
    rows: {},
    compared: 0,
    equal: 0,
    deviating: {},
    deviants: [],
    unexplained: [],
  };
  const qa = readExpected(corpus, 'qa_rows.jsonl.gz');
  for (const [key, expected] of readExpected(corpus, 'rows.jsonl.gz')) {
    const documents = await documentsOf(corpus, key);
    const byLine = Map.groupBy(documents, document => document.line);
    for (const each of expected) compareOne(report, each, byLine.get(each.line)?.[0], bucketOf(key));
    // The scenarios of the QA suite have invented uids, and the bucket that means "unknown".
    for (const each of qa.get(key) ?? []) compareOne(report, each, byLine.get(each.line)?.[0], '1984-01-01');
    for (const { line } of documents) {
      if (!expected.some(each => each.line === line)) {
        report.unexplained.push({
          key,
          line,
          testName: '',
          table: '*',
          column: '*',
          got: 'a document',
          expected: 'none',
        });
      }
    }
  }
  return report;
}

function compareOne(report: Report, expected: Expected, document: RawDocument | undefined, bucket: string): void {
  const { key, line } = expected;
  const encoder = new RowEncoder();
  const transformer = new Transformer({
    bucket,
    generation: CREATED_AT,
    createdAt: CREATED_AT,
    filter: EVERYTHING,
    ipMetadata: IP_METADATA,
    encoder,
  });
  const outcome =
    document && transformer.transform(expected.case ? { ...document, uid: expected.case } : document, key);
  const tables = withoutAdded(takePlainRows(encoder));
  const place = { key, line, testName: outcome?.testName ?? '' };
  const status = outcome === undefined ? 'no document' : outcome.status === 'failed' ? 'lost' : 'ok';
  report.measurements++;
  if (status === 'ok') report.ok++;
  if (status === 'lost') report.lost++;
  for (const [table, rows] of Object.entries(tables)) report.rows[table] = (report.rows[table] ?? 0) + rows.length;
  if (expected.status === 'lost' && status === 'ok' && document && lacksNeedlessInput(document)) {
    const rows = Object.values(tables).reduce((sum, each) => sum + each.length, 0);
    report.deviants.push({ key, line, tables });
    report.deviating['missing-input'] = (report.deviating['missing-input'] ?? 0) + rows;
    return;
  }
  if (status === 'ok' && ADDED_TESTS.has(place.testName)) {
    const rows = Object.values(tables).reduce((sum, each) => sum + each.length, 0);
    if (rows > 0) report.deviants.push({ key, line, tables });
    report.deviating['added-tests'] = (report.deviating['added-tests'] ?? 0) + rows;
    return;
  }
  if (status !== (expected.status ?? 'ok')) {
    report.unexplained.push({ ...place, table: '*', column: 'status', got: status, expected: expected.status });
  }
  const uid = expected.case ?? expected.measurement_uid;
  if (outcome?.uid !== uid) {
    report.unexplained.push({ ...place, table: '*', column: 'measurement_uid', got: outcome?.uid, expected: uid });
  }
  const comparison = compareTables(place, tables, expected.tables ?? {});
  report.compared += comparison.compared;
  report.equal += comparison.equal;
  for (const [id, rows] of comparison.deviating) report.deviating[id] = (report.deviating[id] ?? 0) + rows;
  if (comparison.deviating.size > 0 && !expected.case) report.deviants.push({ key, line, tables });
  report.unexplained.push(...comparison.unexplained);
}

/** Leaves out the columns that upstream does not have: they follow `run_generation`, the last column of earlier versions. */
function withoutAdded(tables: Tables): Tables {
  return Object.fromEntries(
    Object.entries(tables).map(([table, rows]) => [
      table,
      rows.map(row => Object.fromEntries(Object.entries(row).filter(([column]) => !ADDED.has(`${table} ${column}`)))),
    ]),
  );
}

const ADDED: ReadonlySet<string> = new Set(
  OBSERVATION_TABLES.flatMap(({ name: table, columns }) => {
    const names = columns.map(([name]) => name);
    return names.slice(names.indexOf('run_generation') + 1).map(name => `${table} ${name}`);
  }),
);

/** Tests that upstream does not support (docs/deviations.md, added-tests). */
const ADDED_TESTS: ReadonlySet<string> = new Set([
  ...['riseupvpn', 'openvpn', 'sni_blocking', 'stun_reachability', 'tlsmiddlebox', 'portfiltering'],
  ...['dnsping', 'tcpping', 'tlsping', 'simplequicping'],
  ...['psiphon', 'torsf', 'vanilla_tor', 'ndt', 'dash'],
  ...['http_requests', 'http_host', 'dns_consistency', 'tcp_connect', 'meek_fronted_requests_test'],
  ...['bridge_reachability', 'openvpn_client_test', 'doh', 'ddr'],
]);

/** Tests of the corpus that have no input. */
const WITHOUT_INPUT = ['telegram', 'tor', 'psiphon'];

/**
 * Reports whether a document has no key `input` and its test does not need one. The Python pipeline loses such a document
 * (docs/deviations.md, missing-input).
 */
function lacksNeedlessInput({ bytes }: RawDocument): boolean {
  const document = JSON.parse(bytes.toString()) as Record<string, unknown>;
  const others = ['measurement_start_time', 'report_id', 'test_keys'].every(key => document[key] !== undefined);
  return others && !('input' in document) && WITHOUT_INPUT.includes(String(document.test_name));
}

const IP_METADATA = openIpMetadata(undefined);

async function documentsOf(corpus: Corpus, key: string): Promise<RawDocument[]> {
  const archive = new DirectoryArchive(corpus.archive);
  for await (const object of archive.list(key)) {
    const file = parseKey(object);
    if (file && !isBadKey(file) && file.key === key) return readAll(archive, file);
  }
  throw new Error(`${corpus.name} has no object ${key}`);
}

async function readAll(archive: DirectoryArchive, file: ArchiveFile): Promise<RawDocument[]> {
  const documents: RawDocument[] = [];
  for await (const some of readDocuments(archive, file, { maxMeasurementBytes: 64 * 1024 * 1024 }))
    documents.push(...some.map(document => ({ ...document, bytes: Buffer.from(document.bytes) })));
  return documents;
}

/** Returns the day in the key. */
function bucketOf(key: string): string {
  const [, year, month, day] = /(\d{4})(\d{2})(\d{2})/.exec(key)!;
  return `${year}-${month}-${day}`;
}
