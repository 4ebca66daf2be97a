import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { NETTEST_GROUPS } from '../../pipeline/analysis/nettest-groups.ts';
import { RULES_VERSIONS, type RulesVersion } from '../../pipeline/analysis/rules.ts';
import { boundedSettings } from '../../pipeline/analysis/steps.ts';
import { verdictsQuery } from '../../pipeline/analysis/verdicts.ts';
import { DirectoryArchive } from '../../pipeline/archive/directory.ts';
import type { RawDocument } from '../../pipeline/archive/document.ts';
import { readDocuments } from '../../pipeline/archive/documents.ts';
import { isBadKey, parseKey } from '../../pipeline/archive/keys.ts';
import { EVERYTHING } from '../../pipeline/filter.ts';
import { takePlainRows } from '../../pipeline/observations/plain-rows.ts';
import { Transformer } from '../../pipeline/observations/transformer.ts';
import { readFingerprints } from '../../pipeline/reference/fingerprints.ts';
import { HttpFingerprints } from '../../pipeline/reference/http-fingerprints.ts';
import { openIpMetadata } from '../../pipeline/reference/ip-metadata.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { RowEncoder } from '../../pipeline/tables/encoder.ts';
import { ANALYSIS_WEB_MEASUREMENT } from '../../pipeline/tables/schema.ts';
import { setApart, withNetwork } from '../fidelity/analysis.ts';
import { corpus, readExpected } from '../fidelity/expected.ts';
import { dataDirectory, GENERATION, JUDGED_TABLES, openMigrated, type Row } from '../fidelity/verdicts.ts';
import { recordCompleteRun } from '../support/database.ts';
import { FINGERPRINTS, HTTP_FINGERPRINTS } from '../support/fixtures.ts';
import { type Generated, generated } from './generated.ts';
import { type Label, labelOfProbe, SCENARIO_LABELS } from './labels.ts';
import { generatedMessengers, labelOfMessenger, networkOf } from './messengers.ts';
import { generatedNettests } from './nettests.ts';
import { generatedMiddleboxes, generatedTunnels } from './tunnels.ts';

/** The verdict of a labelled measurement by a version of the rules. */
export interface Judged {
  readonly set: string;
  readonly test: string;
  readonly uid: string;
  readonly label: Label;
  readonly version: RulesVersion;
  readonly wanted: string;
  readonly got: string;
  readonly isRight: boolean;
  /** The layer of the label is blamed. */
  readonly isFound: boolean;
  /** Blocked, although it is not. */
  readonly isAlarm: boolean;
  readonly isUnloadedOk: boolean;
}

interface Labelled {
  readonly set: string;
  readonly uid: string;
  readonly test: string;
  readonly label: Label;
}

/** A generated measurement; without a label it is the control of others. */
type Made = Omit<Generated, 'label'> & { readonly label?: Label };

const MAX_BYTES = 64 * 1024 * 1024;
/** Bucket of all rows. */
const BUCKET = '2024-01-01';
const httpList = readFingerprints(gunzipSync(readFileSync(HTTP_FINGERPRINTS)), 'http').rows;
const httpFingerprints = new HttpFingerprints(httpList, 'score');

/** Judges all labelled measurements with each version. */
export async function judgeLabelled(clickhouseUrl: string): Promise<Judged[]> {
  const clickhouse = await openMigrated(clickhouseUrl, 'score');
  try {
    await clickhouse.insert('fingerprints_dns', readFingerprints(readFileSync(FINGERPRINTS), 'dns').rows);
    await clickhouse.insert('fingerprints_http', httpList);
    await recordCompleteRun(clickhouse, { bucket: BUCKET, generation: GENERATION });
    const labelled = new Map<string, Labelled>();
    const days = new Set<string>();
    const store = async (rows: Record<string, Row[]>) => {
      for (const table of JUDGED_TABLES) {
        for (const row of rows[table] ?? []) days.add(String(row.measurement_start_time).slice(0, 10));
        await clickhouse.insert(table, rows[table] ?? []);
      }
    };
    await store(await realRows(labelled));
    await store(scenarioRows(labelled));
    await store(generatedRows(labelled));
    await storeOthers(clickhouse, labelled);
    const judged: Judged[] = [];
    const others = await clickhouse.select<Row>(OTHER_OUTCOMES);
    for (const version of RULES_VERSIONS) {
      for (const verdict of [...(await verdictsOf(clickhouse, [...days].sort(), version)), ...others]) {
        const each = labelled.get(String(verdict.measurement_uid));
        if (each) judged.push(compare(each, verdict, version));
      }
    }
    return judged;
  } finally {
    await clickhouse.close();
  }
}

/** Selects the verdicts of all days with the columns of the view. */
async function verdictsOf(clickhouse: ClickHouse, days: readonly string[], rulesVersion: RulesVersion): Promise<Row[]> {
  const { sql, params } = verdictsQuery({ days, filter: EVERYTHING, selection: { of: 'day' }, rulesVersion });
  await clickhouse.command('TRUNCATE TABLE analysis_web_measurement');
  await clickhouse.command(
    `INSERT INTO analysis_web_measurement (${ANALYSIS_WEB_MEASUREMENT.columns.map(([name]) => name).join(', ')}) ${sql} ${boundedSettings({})}`,
    { params: { ...params, generation: GENERATION } },
  );
  return clickhouse.select<Row>(
    'SELECT measurement_uid, outcome, blocked_layer, blocked_rule_id FROM measurement_verdicts ORDER BY measurement_uid',
  );
}

/**
 * Outcomes of tunnels, and of the tests of middleboxes, which have no view: whether something came back changed. The rules have no part in
 * them.
 */
const OTHER_OUTCOMES = `SELECT measurement_uid, outcome, if(outcome = 'blocked', 'tunnel', '') AS blocked_layer, '' AS blocked_rule_id FROM tunnel_verdicts
UNION ALL
SELECT measurement_uid, multiIf(
    coalesce(hirl_received_0, hirl_received_1, hirl_received_2, hirl_received_3, hirl_received_4, hfm_diff) IS NOT NULL, 'tampered',
    coalesce(hirl_success, hfm_success) = 1, 'ok', 'unknown'), '', ''
FROM obs_http_middlebox FINAL`;

/** Stores the rows of generated measurements that the rules do not judge. */
async function storeOthers(clickhouse: ClickHouse, labelled: Map<string, Labelled>): Promise<void> {
  const ipMetadata = openIpMetadata(undefined);
  const rows: Record<string, Row[]> = { obs_tunnel: [], obs_http_middlebox: [] };
  for (const [index, { document, label }] of [...generatedTunnels(), ...generatedMiddleboxes()].entries()) {
    const bytes = Buffer.from(`${JSON.stringify(document)}\n`);
    const made = transform({ line: 1, bytes, uid: `20240220000000.000000_other_${index}` }, 'generated', ipMetadata);
    if (!made) throw new Error(`the generated measurement ${index}, "${label?.kind}", has no rows`);
    for (const [table, list] of Object.entries(rows)) list.push(...(made.rows[table] ?? []));
    if (label) labelled.set(made.uid, { set: 'generated', uid: made.uid, test: String(document.test_name), label });
  }
  for (const [table, list] of Object.entries(rows)) await clickhouse.insert(table, list);
}

function compare({ set, uid, test, label }: Labelled, verdict: Row, version: RulesVersion): Judged {
  const outcome = String(verdict.outcome);
  const isBlocked = outcome === 'blocked' || outcome === 'partly_blocked';
  const isFound = isBlocked && verdict.blocked_layer === label.layer;
  const wanted: readonly string[] =
    label.outcome === 'unknown or ok'
      ? ['unknown', 'ok']
      : label.outcome === 'not blocked'
        ? ['ok', 'unknown', 'refused', 'down']
        : [label.outcome];
  return {
    set,
    uid,
    test,
    label,
    version,
    wanted: label.layer ? `${label.outcome} (${label.layer})` : label.outcome,
    got: isBlocked ? `${outcome} (${verdict.blocked_layer}, ${verdict.blocked_rule_id})` : outcome,
    isRight: label.layer ? isFound : wanted.includes(outcome),
    isFound,
    // A messenger's test says that it is blocked, and not in which layer.
    isAlarm: label.layer === null && label.outcome !== 'blocked' && isBlocked,
    isUnloadedOk: outcome === 'ok' && label.isReached === false,
  };
}

/**
 * Rows of real measurements. Those of web_connectivity that the probe compared with a control are labelled; the others are control and
 * context.
 */
async function realRows(labelled: Map<string, Labelled>): Promise<Record<string, Row[]>> {
  const { archive: root } = corpus();
  const databases = join(dataDirectory(), 'geoip/probe-assets-202103');
  const ipMetadata = openIpMetadata(existsSync(databases) ? databases : join(import.meta.dirname, '../fixtures/geoip'));
  const archive = new DirectoryArchive(root);
  const rows: Record<string, Row[]> = { obs_web: [], obs_web_ctrl: [] };
  for await (const object of archive.list('')) {
    const file = parseKey(object);
    if (!file || isBadKey(file)) continue;
    // The scenarios share hosts, so they are judged apart.
    for await (const documents of readDocuments(archive, file, { maxMeasurementBytes: MAX_BYTES }))
      for (const document of documents) {
        const keys = document.error ? undefined : testKeysOf(document);
        if (!keys || keys.isScenario) continue;
        const made = transform(document, file.key, ipMetadata);
        if (!made) continue;
        for (const table of JUDGED_TABLES) rows[table]!.push(...(made.rows[table] ?? []));
        const label = keys.test === 'web_connectivity' ? labelOfProbe(keys.keys) : labelOfMessenger(keys.document);
        if (label) labelled.set(made.uid, { set: 'real, by the probe', uid: made.uid, test: keys.test, label });
      }
  }
  return rows;
}

function testKeysOf({ bytes }: RawDocument) {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
  return {
    document: value,
    keys: (value.test_keys ?? {}) as Record<string, unknown>,
    test: String(value.test_name),
    // The QA suite leaves the report id empty, and real measurements do not.
    isScenario: value.report_id === '' && value.probe_asn === 'AS137',
  };
}

function transform(document: RawDocument, key: string, ipMetadata: ReturnType<typeof openIpMetadata>) {
  const encoder = new RowEncoder();
  const facts = { bucket: BUCKET, generation: GENERATION, createdAt: 0, filter: EVERYTHING, httpFingerprints };
  const { status, uid } = new Transformer({ ...facts, ipMetadata, encoder }).transform(document, key);
  const rows = takePlainRows(encoder) as Record<string, Row[]>;
  for (const table of Object.values(rows)) for (const row of table) row.run_generation = GENERATION;
  return status === 'transformed' && uid ? { uid, rows } : undefined;
}

/** Rows of the scenarios of the QA suite, with hosts of their own. The fixtures do not contain the documents of the scenarios. */
function scenarioRows(labelled: Map<string, Labelled>): Record<string, Row[]> {
  const rows: Record<string, Row[]> = { obs_web: [], obs_web_ctrl: [] };
  const chosen = corpus();
  for (const [key, cases] of readExpected(chosen, 'qa_rows.jsonl.gz')) {
    if (!existsSync(join(chosen.archive, key))) continue;
    const lines = gunzipSync(readFileSync(join(chosen.archive, key)))
      .toString()
      .split('\n');
    for (const { case: scenario = '', line } of cases) {
      const label = SCENARIO_LABELS[scenario];
      if (!label) throw new Error(`the scenario ${scenario} is not in test/score/labels.ts`);
      const document = { line, bytes: Buffer.from(`${lines[line - 1]}\n`), uid: `20240101000000.000000_${scenario}` };
      const made = transform(document, key, openIpMetadata(undefined));
      if (!made) throw new Error(`the scenario ${scenario} has no rows`);
      const apart = setApart(made.rows, scenario);
      for (const table of JUDGED_TABLES) rows[table]!.push(...(apart[table] ?? []).map(withNetwork));
      labelled.set(made.uid, {
        set: 'QA scenarios',
        uid: made.uid,
        test: 'web_connectivity',
        label: { ...label, kind: scenario },
      });
    }
  }
  return rows;
}

function generatedRows(labelled: Map<string, Labelled>): Record<string, Row[]> {
  const rows: Record<string, Row[]> = { obs_web: [], obs_web_ctrl: [] };
  const all: readonly Made[] = [...generated(), ...generatedMessengers(), ...generatedNettests()];
  for (const [index, { document, label }] of all.entries()) {
    const bytes = Buffer.from(`${JSON.stringify(document)}\n`);
    const made = transform(
      { line: 1, bytes, uid: `20240220000000.000000_generated_${index}` },
      'generated',
      openIpMetadata(undefined),
    );
    if (!made) throw new Error(`the generated measurement ${index}, "${label?.kind}", has no rows`);
    const ofMessenger = NETTEST_GROUPS.im!.includes(String(document.test_name));
    const known = ofMessenger
      ? (row: Row) => (row.ip ? { ...row, ip_asn: networkOf(String(row.ip)) } : row)
      : withNetwork;
    for (const table of JUDGED_TABLES) rows[table]!.push(...(made.rows[table] ?? []).map(known));
    if (label) labelled.set(made.uid, { set: 'generated', uid: made.uid, test: String(document.test_name), label });
  }
  return rows;
}
