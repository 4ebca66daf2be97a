import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeEach, describe, expect, inject, test } from 'vitest';
import { EVERYTHING } from '../../pipeline/filter.ts';
import { ReferenceDataError } from '../../pipeline/reference/dataset.ts';
import type { DatasetName } from '../../pipeline/reference/datasets.ts';
import { ensureReference, loadReference, referenceVersions } from '../../pipeline/reference/load.ts';
import { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { analyseDay } from '../support/analyse-day.ts';
import { makeDatabase, silent } from '../support/database.ts';
import { FINGERPRINTS, HTTP_FINGERPRINTS, TEST_LISTS } from '../support/fixtures.ts';

const dir = mkdtempSync(join(tmpdir(), 'ooni-reference-'));
const real = readFileSync(FINGERPRINTS, 'utf8');
/** Number of rows of the real list, as its publisher counts them (shared/data/fingerprints: 226). */
const REAL_ROWS = 226;
let clickhouse: ClickHouse;
let url: string;
let clock = Date.parse('2026-01-02T00:00:00Z');

beforeEach(async () => {
  ({ clickhouse, url } = await makeDatabase(inject('clickhouseUrl'), 'reference'));
});
afterEach(() => clickhouse.close());
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const file = (content: string | Buffer, name = 'fingerprints.csv') => {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
};
const load = (source: string, name: DatasetName = 'fingerprints_dns', database = clickhouse) => {
  clock += 1000;
  return loadReference(database, name, source, { now: clock, log: silent });
};
const stored = async (name: DatasetName = 'fingerprints_dns') => {
  const [row] = await clickhouse.select<{ n: number }>(`SELECT count() AS n FROM ${name}`);
  return { rows: row!.n, version: (await referenceVersions(clickhouse))[name] };
};
/** Returns the remaining staging tables. */
const staging = () =>
  clickhouse.select("SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE '%\\_next\\_%'");
const lineOf = (fields: Partial<Record<number, string>>) =>
  Array.from(
    { length: 11 },
    (_, i) => fields[i] ?? ['made-up', 'nat', '', 'dns', 'full', '203.0.113.9', '5', 'IT', '', '', ''][i],
  ).join(',');

describe('a valid source', () => {
  test('is loaded with a version; unchanged, it is not loaded again; changed, it replaces all rows', async () => {
    const first = await load(FINGERPRINTS);
    expect(first).toMatchObject({ changed: true, rows: REAL_ROWS, problems: [] });
    expect(await stored()).toEqual({ rows: REAL_ROWS, version: first.version });
    expect(first.version).toMatch(/^2026-01-02-[0-9a-f]{12}$/);
    expect(await load(FINGERPRINTS)).toMatchObject({ changed: false, version: first.version });
    const second = await load(file(`${real.trimEnd()}\n${lineOf({})}\n`));
    expect(second).toMatchObject({ changed: true, rows: REAL_ROWS + 1 });
    expect(await stored()).toEqual({ rows: REAL_ROWS + 1, version: second.version });
    // Back to the earlier data. Its version may have the same name as before or another.
    const third = await load(FINGERPRINTS);
    expect(await stored()).toEqual({ rows: REAL_ROWS, version: third.version });
    const versions = await clickhouse.select('SELECT version, rows FROM reference_versions FINAL ORDER BY rows');
    expect(versions).toEqual([
      { version: first.version, rows: REAL_ROWS },
      { version: second.version, rows: REAL_ROWS + 1 },
    ]);
    expect(await staging()).toEqual([]);
  });

  test('can be loaded by http, gzipped or not; a token in the URL is not recorded', async () => {
    const server = createServer((request, response) => {
      if (request.url?.startsWith('/gone')) response.writeHead(404).end('not here');
      else response.end(request.url?.startsWith('/packed') ? gzipSync(real) : real);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      expect(await load(`${base}/packed?token=secret`)).toMatchObject({ changed: true, rows: REAL_ROWS });
      const [recorded] = await clickhouse.select<{ source: string }>('SELECT source FROM reference_versions');
      expect(recorded?.source).toBe(`${base}/packed`);
      await expect(load(`${base}/gone?token=secret`)).rejects.toThrow(
        new ReferenceDataError(`${base}/gone?token=*** answered 404. Nothing was changed.`),
      );
    } finally {
      server.close();
    }
    await expect(load(`${base}/packed`)).rejects.toThrow(/cannot fetch .*ECONNREFUSED.*local file/);
    expect((await stored()).rows).toBe(REAL_ROWS);
  });

  test('is loaded again if an earlier version of the program read it in another way', async () => {
    const sha256 = createHash('sha256')
      .update(gunzipSync(readFileSync(HTTP_FINGERPRINTS)))
      .digest('hex');
    // Earlier versions named the version after the source alone, and had no CR in the patterns.
    const earlier = `2026-01-01-${sha256.slice(0, 12)}`;
    await clickhouse.command(`ALTER TABLE fingerprints_http MODIFY COMMENT '${earlier}'`);
    const { changed, version } = await load(HTTP_FINGERPRINTS, 'fingerprints_http');
    expect([changed, version === earlier]).toEqual([true, false]);
    expect(await clickhouse.select("SELECT count() AS n FROM fingerprints_http WHERE pattern LIKE '%\r\n%'")).toEqual([
      { n: 6 },
    ]);
    expect(await load(HTTP_FINGERPRINTS, 'fingerprints_http')).toMatchObject({ changed: false, version });
  });

  test('the Citizen Lab lists', async () => {
    const { rows, problems } = await load(TEST_LISTS, 'citizenlab');
    expect(rows).toBeGreaterThan(20_000);
    expect(problems).toEqual([]);
    const [found] = await clickhouse.select(
      "SELECT category_code FROM citizenlab WHERE domain = 'www.hrw.org' AND trimRight(cc, '\\0') = 'ZZ'",
    );
    expect(found).toEqual({ category_code: 'HUMR' });
    expect((await stored('citizenlab')).rows).toBe(rows);
  });

  test('the AS organisations: an entry without a date is reported and omitted, the others are loaded', async () => {
    const map = Object.fromEntries(
      Array.from({ length: 100_200 }, (_, asn) => [
        asn + 1,
        [[`Org ${asn + 1}`, 'IT', '20200101', `AS-${asn + 1}`, 'RIPE']],
      ]),
    );
    map[77] = [['Org 77', 'IT', 'latest', 'AS-77', 'RIPE']];
    const found = await load(file(JSON.stringify(map), 'as.json'), 'asnmeta');
    expect(found).toMatchObject({ rows: 100_199, problems: ['all_as_org_map.json AS 77: "latest" is not a date'] });
    expect(await clickhouse.select('SELECT org_name, cc, changed FROM asnmeta WHERE asn = 78')).toEqual([
      { org_name: 'Org 78', cc: 'IT', changed: '2020-01-01' },
    ]);
  });
});

describe('an invalid source', () => {
  test('a broken row is reported with its position and omitted', async () => {
    const { rows, problems } = await load(
      file(
        `${real.trimEnd()}\n${lineOf({ 1: 'planet' })}\n${lineOf({ 0: 'other', 5: '' })}\n${lineOf({ 0: 'third', 7: 'Italy' })}\nshort,line\n`,
      ),
    );
    expect(rows).toBe(REAL_ROWS);
    const line = real.trimEnd().split('\n').length;
    expect(problems).toEqual([
      expect.stringMatching(new RegExp(`line ${line + 4}: 2 fields instead of 11`)),
      expect.stringMatching(new RegExp(`line ${line + 1}: scope "planet" is none of nat, isp`)),
      expect.stringMatching(new RegExp(`line ${line + 2}: no pattern`)),
      expect.stringMatching(new RegExp(`line ${line + 3}: expected_countries "Italy"`)),
    ]);
    const [kept] = await clickhouse.select<{ broken_rows: number; problems: string[] }>(
      'SELECT broken_rows, problems FROM reference_versions',
    );
    expect(kept).toEqual({ broken_rows: 4, problems });
  });

  test.each<[string, string | Buffer, RegExp]>([
    ['an error page', '<html><body>Not found</body></html>\n', /lacks the columns name, scope/],
    ['nothing', '', /lacks the columns/],
    ['a list cut off in the middle of a quote', `${real.slice(0, 2000)}\n"open`, /is not CSV/],
    ['a truncated gzip', gzipSync(real).subarray(0, 3000), /is not readable gzip/],
    ['too few rows', real.split('\n').slice(0, 60).join('\n'), /has \d+ rows, where more than 100/],
    [
      'many broken rows',
      real.replaceAll(',full,', ',fuller,'),
      /rows are broken; the first: fingerprints_dns.csv line 2: pattern_type "fuller"/,
    ],
    ['bytes that are not text', Buffer.concat([Buffer.from(real), Buffer.from([0xff, 0xfe])]), /is not UTF-8/],
  ])('%s changes nothing, and the error gives the reason', async (_, content, message) => {
    const before = await load(FINGERPRINTS);
    const loading = load(file(content));
    await expect(loading).rejects.toThrow(ReferenceDataError);
    await expect(loading).rejects.toThrow(message);
    expect(await stored()).toEqual({ rows: REAL_ROWS, version: before.version });
    expect(await staging()).toEqual([]);
  });

  test('the error names a missing file', async () => {
    await expect(load(join(dir, 'absent.csv'))).rejects.toThrow(
      /cannot read .*absent\.csv: ENOENT.*Nothing was changed/,
    );
  });
});

describe('swapping', () => {
  const more = () => file(`${real.trimEnd()}\n${lineOf({})}\n`, 'more.csv');

  test('concurrent readers see all old rows or all new rows, with their version, never a part', async () => {
    await load(FINGERPRINTS);
    const seen = new Set<number>();
    let over = false;
    const reading = (async () => {
      while (!over) {
        const [row] = await clickhouse.select<{ n: number }>('SELECT count() AS n FROM fingerprints_dns');
        seen.add(row!.n);
      }
    })();
    for (let round = 0; round < 3; round++) {
      await load(more());
      await load(FINGERPRINTS);
    }
    over = true;
    await reading;
    expect([...seen].sort((a, b) => a - b)).toEqual([REAL_ROWS, REAL_ROWS + 1]);
  });

  test('several concurrent loads leave one complete version', async () => {
    const loads = await Promise.all([load(FINGERPRINTS), load(FINGERPRINTS), load(FINGERPRINTS)]);
    expect(await stored()).toEqual({ rows: REAL_ROWS, version: loads[0].version });
    expect(await staging()).toEqual([]);
  });

  test('a load that dies at any statement leaves the old version in use, and the next load succeeds', async () => {
    const before = await load(FINGERPRINTS);
    const path = more();
    for (let statements = 1; ; statements++) {
      const dying = new DyingClickHouse(url, statements);
      const died = await load(path, 'fingerprints_dns', dying).then(
        () => false,
        error => {
          expect(error.message).toBe('died');
          return true;
        },
      );
      await dying.close();
      const { rows, version } = await stored();
      // Data and version match at every moment.
      expect([statements, rows]).toEqual([statements, version === before.version ? REAL_ROWS : REAL_ROWS + 1]);
      if (!died) break;
      expect(statements).toBeLessThan(40);
      if (version !== before.version) {
        await load(FINGERPRINTS);
      }
    }
    expect((await stored()).rows).toBe(REAL_ROWS + 1);
  });
});

test('reference data is loaded before the first verdict, and never replaces existing data then', async () => {
  const ensure = (source: string | undefined) =>
    ensureReference(clickhouse, 'fingerprints_dns', source, { now: clock, log: silent });
  await ensure(undefined);
  expect(await stored()).toEqual({ rows: 0, version: '' });
  await expect(ensure(join(dir, 'absent.csv'))).rejects.toThrow(ReferenceDataError);
  await ensure(FINGERPRINTS);
  const { version } = await stored();
  expect(version).not.toBe('');
  await ensure(join(dir, 'absent.csv'));
  expect(await stored()).toEqual({ rows: REAL_ROWS, version });
});

test('a verdict names its version and is based on it', async () => {
  const pattern = '203.0.113.9';
  const common = { measurement_start_time: '2024-03-05 10:00:00.000', bucket_date: '2024-03-05', run_generation: 1 };
  await clickhouse.insert('obs_web', [
    {
      ...common,
      ...{
        measurement_uid: '20240305100000.1_IT_x',
        probe_cc: 'IT',
        test_name: 'web_connectivity',
        observation_idx: 0,
      },
      ...{ hostname: 'x.example', ip: pattern, dns_answer: pattern, dns_engine: 'system', dns_query_type: 'A' },
    },
  ]);
  const judge = async (generation: number) => {
    const options = {
      day: '2024-03-05',
      filter: EVERYTHING,
      selection: { of: 'day' },
      rulesVersion: 2,
      generation,
    } as const;
    const { fingerprints } = await analyseDay(clickhouse, options, silent);
    const [verdict] = await clickhouse.select<{ rule: string; version: string }>(
      'SELECT top_dns_rule_id AS rule, fingerprints_version AS version FROM analysis_web_measurement',
    );
    expect(verdict?.version).toBe(fingerprints);
    return verdict;
  };
  const first = await load(FINGERPRINTS);
  expect(await judge(2)).toEqual({ rule: 'dns_system_answer_unmatched', version: first.version });
  const second = await load(file(`${real.trimEnd()}\n${lineOf({ 5: pattern })}\n`));
  expect(await judge(3)).toEqual({ rule: 'country_consistent_blockpage', version: second.version });
});

test('a version swapped in during an analysis repeats it, and the verdicts name the version they are based on', async () => {
  const pattern = '203.0.113.9';
  await clickhouse.insert('obs_web', [
    {
      ...{
        measurement_start_time: '2024-03-05 10:00:00.000',
        bucket_date: '2024-03-05',
        run_generation: 1,
        probe_cc: 'IT',
      },
      ...{ measurement_uid: '20240305100000.1_IT_x', test_name: 'web_connectivity', observation_idx: 0 },
      ...{ hostname: 'x.example', ip: pattern, dns_answer: pattern, dns_engine: 'system', dns_query_type: 'A' },
    },
  ]);
  const first = await load(FINGERPRINTS);
  let second: Awaited<ReturnType<typeof load>> | undefined;
  const swapping = new SwappingClickHouse(locationOf(url), async () => {
    second ??= await load(file(`${real.trimEnd()}\n${lineOf({ 5: pattern })}\n`));
  });
  const options = {
    day: '2024-03-05',
    filter: EVERYTHING,
    selection: { of: 'day' },
    rulesVersion: 3,
    generation: 2,
  } as const;
  const { fingerprints, verdicts } = await analyseDay(swapping, options, silent);
  await swapping.close();
  expect([first.version, verdicts, fingerprints]).toEqual([
    expect.not.stringMatching(fingerprints),
    1,
    second?.version,
  ]);
  expect(
    await clickhouse.select(
      'SELECT top_dns_rule_id AS rule, fingerprints_version AS version FROM analysis_web_measurement',
    ),
  ).toEqual([{ rule: 'country_consistent_blockpage', version: second?.version }]);
});

function locationOf(at: string) {
  const { hostname, port, pathname } = new URL(at);
  return { url: `http://${hostname}:${port}`, database: pathname.slice(1), username: 'default', password: '' };
}

/** A client that calls a function after each INSERT ... SELECT. */
class SwappingClickHouse extends ClickHouse {
  readonly #behind: () => Promise<void>;

  constructor(location: ReturnType<typeof locationOf>, behind: () => Promise<void>) {
    super(location, '');
    this.#behind = behind;
  }

  override async commandOnce(...args: Parameters<ClickHouse['commandOnce']>) {
    await super.commandOnce(...args);
    await this.#behind();
  }
}

/** A client that simulates the death of its process before its n-th statement. */
class DyingClickHouse extends ClickHouse {
  #left: number;

  constructor(at: string, statements: number) {
    super(locationOf(at), '');
    this.#left = statements;
  }

  override command(...args: Parameters<ClickHouse['command']>) {
    this.#count();
    return super.command(...args);
  }

  override commandOnce(...args: Parameters<ClickHouse['commandOnce']>) {
    this.#count();
    return super.commandOnce(...args);
  }

  override select<Row>(...args: Parameters<ClickHouse['select']>): Promise<Row[]> {
    this.#count();
    return super.select<Row>(...args);
  }

  override insert(...args: Parameters<ClickHouse['insert']>) {
    this.#count();
    return super.insert(...args);
  }

  #count(): void {
    if (--this.#left < 0) throw new Error('died');
  }
}
