import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { addsUp } from '../../pipeline/counts.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { OBSERVATION_TABLES } from '../../pipeline/tables/schema.ts';
import { tarOf } from '../support/archive.ts';
import { makeDatabase } from '../support/database.ts';
import { type ExpectedMeasurement, expectedMeasurements, FIXTURES } from '../support/fixtures.ts';
import { lz4Blocks, storedFrame } from '../support/lz4.ts';
import { rowsByMeasurement, runTools, runWhole } from '../support/runs.ts';
import { tarHeader } from '../support/tar.ts';

/** Measurements of web_connectivity from Italy. None of them has a uid in its document. */
const SOURCE = 'raw/20231127/16/IT/webconnectivity/2023112716_IT_webconnectivity.n1.0.jsonl.gz';
const LINES = gunzipSync(readFileSync(join(FIXTURES, SOURCE)))
  .toString()
  .trimEnd()
  .split('\n');
const EXPECTED = expectedMeasurements().filter(({ key }) => key === SOURCE);

let clickhouse: ClickHouse;
let root: string;

beforeEach(async () => {
  ({ clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'layouts'));
  root = mkdtempSync(join(tmpdir(), 'ooni-layouts-'));
});
afterEach(async () => {
  rmSync(root, { recursive: true, force: true });
  await clickhouse.close();
});

function put(key: string, content: string | Uint8Array): void {
  mkdirSync(dirname(join(root, key)), { recursive: true });
  writeFileSync(join(root, key), content);
}

const jsonLines = Buffer.from(`${LINES.join('\n')}\n`);
const postOf = (line: string) => `{"format":"json","content":${line}}`;
const nameOf = (at: number) => `20210817150000.0000${String(at).padStart(2, '0')}_IT_webconnectivity_${at}`;
const posts = () => tarOf(LINES.map((line, at) => [`x/${nameOf(at)}.post`, postOf(line)]));
const lz4 = (bytes: Buffer) => storedFrame(lz4Blocks(bytes));
const trivial = ({ measurement_uid }: ExpectedMeasurement) => measurement_uid;
const named = ({ line }: ExpectedMeasurement) => nameOf(line - 1);

/** Returns the expected number of rows of a table, by measurement. */
function rowsBy(uidOf: (each: ExpectedMeasurement) => string, table: string): Map<string, number> {
  const rows = EXPECTED.map(each => [uidOf(each), each.tables[table]?.length ?? 0] as const);
  return new Map(rows.filter(([, count]) => count > 0));
}

async function expectRows(uidOf: (each: ExpectedMeasurement) => string): Promise<void> {
  for (const { name } of OBSERVATION_TABLES) {
    expect(await rowsByMeasurement(clickhouse, name)).toEqual(rowsBy(uidOf, name));
  }
}

const RAW = 'raw/20210817/15/IT/webconnectivity/2021081715_IT_webconnectivity.n0.0';
const REPORT = 'canned/2019-10-21/20191021T141726Z-IT-AS137-web_connectivity-20191021T141726Z_AS137_x-0.2.0-probe';

describe('the same measurements in every layout of the archive', () => {
  test.each<[string, string, string, () => Promise<Uint8Array> | Uint8Array, (each: ExpectedMeasurement) => string]>([
    ['L1', '2021-08-17', `${RAW}.jsonl.gz`, () => gzipSync(jsonLines), trivial],
    ['L2', '2021-08-17T15', `${RAW}.tar.gz`, async () => gzipSync(await posts()), named],
    ['L2, not compressed', '2021-08-17', `${RAW}.tar.gz`, posts, named],
    [
      'L3',
      '2019-10-21',
      'jsonl/webconnectivity/IT/20191021/00/20191021_IT_webconnectivity.l.0.jsonl.gz',
      () => gzipSync(jsonLines),
      trivial,
    ],
    [
      'L4',
      '2019-10-21',
      'canned/2019-10-21/web_connectivity.0.tar.lz4',
      async () => lz4(await tarOf([['2019-10-21/report.json', jsonLines]])),
      trivial,
    ],
    ['L5', '2019-10-21T00', `${REPORT}.json.lz4`, () => lz4(jsonLines), trivial],
  ])('%s', async (_layout, bucket, key, make, uidOf) => {
    put(key, await make());
    const end = await runWhole(runTools(clickhouse, root), bucket);
    expect(end.counts).toMatchObject({ files: 1, read: LINES.length, transformed: LINES.length });
    expect(end.rowsStored).toEqual(end.counts.rows);
    await expectRows(uidOf);
  });

  test('L6 and unknown layouts give no rows, and unknown ones are reported', async () => {
    put('canned/2019-10-21/index.json.gz', 'x');
    put("canned/2019-10-21/it's \\ odd", 'x');
    const end = await runWhole(runTools(clickhouse, root), '2019-10-21');
    expect(end.counts).toMatchObject({ files: 0, read: 0 });
    const failures = await clickhouse.select('SELECT key, stage, class FROM pipeline_failures FINAL');
    expect(failures).toEqual([{ key: "canned/2019-10-21/it's \\ odd", stage: 'list', class: 'UnknownKey' }]);
  });

  test('L1 beside L2, and L3 beside a can, are not read twice', async () => {
    put(`${RAW}.jsonl.gz`, gzipSync(jsonLines));
    put(`${RAW}.tar.gz`, gzipSync(await posts()));
    const raw = await runWhole(runTools(clickhouse, root), '2021-08-17');
    expect(raw.counts).toMatchObject({ files: 1, read: LINES.length });
    await expectRows(named);
    put('jsonl/webconnectivity/IT/20191021/00/20191021_IT_webconnectivity.l.0.jsonl.gz', gzipSync(jsonLines));
    put(`${REPORT}.json.lz4`, lz4(jsonLines));
    const old = await runWhole(runTools(clickhouse, root), '2019-10-21');
    expect(old.counts).toMatchObject({ files: 1, read: LINES.length });
  });

  test('on a day in two layouts, a measurement in both is stored once, with the uid of its post', async () => {
    // These measurements were not submitted. Without a report id, duplicates cannot be recognized.
    const lines = LINES.map((line, at) => line.replace('"report_id":""', `"report_id":"report ${at}"`));
    const inCan = ({ line }: ExpectedMeasurement) => {
      const hash = createHash('shake128', { outputLength: 15 })
        .update(`${lines[line - 1]}\n`)
        .digest('hex');
      return `0120231127${hash}`;
    };
    put(
      'canned/2020-10-20/web_connectivity.0.tar.lz4',
      lz4(await tarOf([['x/report.json', Buffer.from(`${lines.join('\n')}\n`)]])),
    );
    const all = lines.map((line, at) => [`x/${nameOf(at)}.post`, postOf(line)] as const);
    // The first one is only in the can.
    put(
      'raw/20201020/15/IT/webconnectivity/2020102015_IT_webconnectivity.n0.0.tar.gz',
      gzipSync(await tarOf(all.slice(1))),
    );
    const end = await runWhole(runTools(clickhouse, root), '2020-10-20');
    expect(end.counts).toMatchObject({ files: 2, read: 2 * LINES.length - 1, transformed: 2 * LINES.length - 1 });
    await expectRows(each => (each.line === 1 ? inCan(each) : named(each)));
    for (const [table, stored] of Object.entries(end.rowsStored)) {
      expect(stored).toBe([...rowsBy(trivial, table).values()].reduce((sum, rows) => sum + rows, 0));
    }
  });
});

test('a bucket of hostile objects completes, counts every document, and stores the good ones', async () => {
  const [good] = LINES as [string];
  const folder = 'raw/20210817/15/IT/webconnectivity/2021081715_IT_webconnectivity';
  const odd = (at: string, with_: string) => good.replace(at, with_);
  const documents = [
    good,
    '',
    '{',
    '[]',
    '"text"',
    '\ufeff{}',
    odd('"test_runtime":', '"test_runtime":1e400,"x":'),
    odd('{"', '{"x":"\\ud800","'),
    odd('{"', '{"__proto__":{"probe_cc":"XX"},"'),
    odd('"probe_cc":"IT"', '"probe_cc":"IT","probe_cc":"IT"'),
    odd('{"', `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)},"`),
    odd('"probe_asn":"AS', '"probe_asn":"AS99999999999'),
    odd('"test_keys":{', `"test_keys":{"queries":{},"x":{`).replace(/\}$/, '}}'),
    odd('"probe_cc":"IT"', '"probe_cc":{"a":1}'),
    `${good}\r`,
    'x'.repeat(100),
    good.slice(0, -1),
  ];
  put(`${folder}.n0.0.jsonl.gz`, gzipSync(documents.join('\n')));
  put(`${folder}.n0.1.jsonl.gz`, gzipSync(`${good}\n`).subarray(0, -300));
  put(`${folder}.n0.2.jsonl.gz`, '<html>');
  put(`${folder}.n0.3.jsonl.gz`, '');
  put(
    `${folder}.n0.4.tar.gz`,
    Buffer.concat([
      tarHeader("d/'; DROP TABLE obs_web; --.post", 0),
      await tarOf([
        ["../../20210817150000.000000_IT_webconnectivity_it's.post", postOf(good)],
        ['20210817150000.000001_IT_webconnectivity_1.post', '{"format":"yaml","content":"---"}'],
        ['README', 'x'],
      ]),
    ]),
  );
  put(`${folder}.n0.5.tar.gz`, gzipSync(tarHeader('x/1.post', 0o77777777777)));
  put('raw/20210817/15/IT/webconnectivity/nonsense.tar.gz', 'x');
  const end = await runWhole(runTools(clickhouse, root, 1), '2021-08-17');
  expect(addsUp(end.counts)).toBe(true);
  // Blank lines do not count. Every other line does. The tar has four members, and the last object has one document.
  expect(end.counts).toMatchObject({ files: 6, read: documents.length - 1 + 4 + 1, skipped: 2 });
  expect(end.counts.transformed).toBeGreaterThanOrEqual(4);
  const [found] = await clickhouse.select(
    `SELECT countIf(line > 0) AS measurements, countIf(class = 'Truncated') AS damaged, countIf(stage = 'list') AS keys,
            uniqExact(key, line) AS places FROM pipeline_failures FINAL`,
  );
  const damaged = 4;
  expect(found).toEqual({
    measurements: end.counts.failed,
    damaged,
    keys: 1,
    places: end.counts.failed + damaged + 1,
  });
  const files = await clickhouse.select<{ state: string }>('SELECT state FROM pipeline_files FINAL ORDER BY key');
  expect(files.map(({ state }) => state)).toEqual(['read', 'truncated', 'truncated', 'truncated', 'read', 'truncated']);
  const uids = await rowsByMeasurement(clickhouse, 'obs_web');
  expect(uids.has("20210817150000.000000_IT_webconnectivity_it's")).toBe(true);
  for (const [table, stored] of Object.entries(end.rowsStored))
    expect(stored).toBeLessThanOrEqual(end.counts.rows[table]!);
});
