import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { makeDatabase } from '../support/database.ts';
import { documentOf } from '../support/document.ts';
import { FINGERPRINTS, HTTP_FINGERPRINTS } from '../support/fixtures.ts';
import { CASES as DOCUMENT_CASES } from './unusual-cases.ts';
import { FAILURE_CASES } from './unusual-failures.ts';

const CASES = [...DOCUMENT_CASES, ...FAILURE_CASES];

const ROOT = join(import.meta.dirname, '../..');
const DAY = 86_400_000;
const dayOf = (index: number) => new Date(Date.UTC(2024, 4, 1) + 2 * index * DAY).toISOString().slice(0, 10);

/** Gives a case hosts of its own: `a.example.org` becomes `a.c7.example.org`. */
const ownHosts = (text: string, index: number) => text.replaceAll(/([.。])(example\.org)/gi, `$1c${index}.$2`);

interface Found {
  readonly ooni_run_link_id: string;
  readonly outcome: string;
  readonly blocked_layer: string;
  readonly blocked_rule_id: string;
  readonly blamed_host: string;
  readonly confirmed: number;
  readonly probe_asn: number;
}

/** In place of the verdict of a measurement that failed. */
const RECORDED: Found = {
  ooni_run_link_id: '',
  outcome: 'recorded',
  blocked_layer: '',
  blocked_rule_id: '',
  blamed_host: '',
  confirmed: 0,
  probe_asn: 0,
};
const NO_VERDICT: Found = { ...RECORDED, outcome: 'no verdict' };

/** Runs the cases with or without IP databases, and returns the verdicts by `case/document`. */
async function judge(dir: string, withNetworks: boolean): Promise<Map<string, Found>> {
  const archive = join(dir, withNetworks ? 'networks' : 'plain');
  const files = new Map<string, string[]>();
  /** Measurements by object and line. */
  const places = new Map<string, string>();
  for (const [index, { documents, networks = false, apart = false }] of CASES.entries()) {
    if (networks !== withNetworks) continue;
    const day = dayOf(apart ? index : 0);
    const compact = day.replaceAll('-', '');
    for (const [
      position,
      { at = `10:00:${String(position).padStart(2, '0')}`, right: _, confirmed: __, asn: ___, edit, ...of },
    ] of documents.entries()) {
      const document = {
        ...documentOf({ ...of, start: `${day} ${at}`, report: `${index} ${of.report ?? position}` }),
        annotations: { ooni_run_link_id: `${index}/${position}` },
      };
      const { probe_id } = document as { probe_id?: string };
      const line = JSON.stringify({ ...document, ...(probe_id && { probe_id: `${index} ${probe_id}` }) });
      const test = (of.test ?? 'web_connectivity').replaceAll('_', '');
      const key = `raw/${compact}/10/${of.cc ?? 'IT'}/${test}/${compact}10_${of.cc ?? 'IT'}_${test}.n1.0.jsonl.gz`;
      const lines = files.get(key) ?? [];
      files.set(key, lines);
      lines.push(ownHosts(edit ? edit(line) : line, index));
      places.set(`${key} ${lines.length}`, `${index}/${position}`);
    }
  }
  for (const [key, lines] of files) {
    mkdirSync(dirname(join(archive, key)), { recursive: true });
    writeFileSync(join(archive, key), gzipSync(`${lines.join('\n')}\n`));
  }
  const fingerprints = join(dir, 'fingerprints_http.csv');
  writeFileSync(fingerprints, gunzipSync(readFileSync(HTTP_FINGERPRINTS)));
  const { url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'unusual', { migrated: false });
  const place = [
    '--archive',
    archive,
    '--clickhouse',
    url,
    '--fingerprints',
    FINGERPRINTS,
    '--http-fingerprints',
    fingerprints,
  ];
  const geoip = withNetworks ? ['--geoip', join(ROOT, 'test/fixtures/geoip')] : [];
  const options = { cwd: ROOT, env: { ...process.env, NODE_OPTIONS: '', MAX_FAILED_SHARE: '1' }, maxBuffer: 1 << 26 };
  // Buckets with measurements that fail may end with another status than 0.
  const program = [join(ROOT, 'cli/main.ts'), 'run', ...place, ...geoip];
  const ran: { stderr: string } = await promisify(execFile)(process.execPath, program, options).catch(error => error);
  const rows = await clickhouse.select<Found>(
    'SELECT ooni_run_link_id, probe_asn, outcome, blocked_layer, blocked_rule_id, blamed_host, confirmed FROM measurement_verdicts',
  );
  if (rows.length === 0) throw new Error(ran.stderr);
  const failures = await clickhouse.select<{ key: string; line: number }>('SELECT key, line FROM pipeline_failures');
  await clickhouse.close();
  return new Map([
    ...failures.map(({ key, line }) => [places.get(`${key} ${line}`) ?? '', RECORDED] as const),
    ...rows.map(row => [row.ooni_run_link_id, row] as const),
  ]);
}

let found: Map<string, Found>;
let dir: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'ooni-unusual-'));
  found = await judge(dir, false);
  if (CASES.some(({ networks }) => networks)) for (const [key, row] of await judge(dir, true)) found.set(key, row);
}, 600_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('the verdict', () => {
  for (const [index, { name, documents }] of CASES.entries()) {
    test(name, () => {
      for (const [position, { right, confirmed, asn }] of documents.entries()) {
        const row = found.get(`${index}/${position}`) ?? NO_VERDICT;
        const { outcome, blocked_layer, blamed_host, blocked_rule_id } = row;
        const got = [outcome, ...(blocked_layer ? [blocked_layer, blamed_host] : [])].join(' ');
        expect(ownHosts(right, index).split('|'), `measurement ${position}: ${got} by ${blocked_rule_id}`).toContain(
          got,
        );
        if (asn !== undefined && row.outcome !== 'recorded') expect(Number(row.probe_asn)).toBe(asn);
        if (confirmed !== undefined) expect(row.confirmed, 'confirmed').toBe(confirmed ? 1 : 0);
      }
    });
  }
});
