import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { EVERYTHING, filterIDOf } from '../../pipeline/filter.ts';
import { verifyBucket } from '../../pipeline/runs/verify.ts';
import type { MeasurementRef } from '../../pipeline/tables/block.ts';
import { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { parseClickHouseUrl } from '../../pipeline/tables/clickhouse-url.ts';
import { claimUids, ownersOf } from '../../pipeline/tables/uids.ts';
import { temporaryDirectory } from '../support/archive.ts';
import { makeDatabase } from '../support/database.ts';
import { runTools, runWhole } from '../support/runs.ts';

const UID = '20240402100000.726853_IT_webconnectivity_b1745cd08265bb93';

/** Returns a measurement with one lookup per host. */
const measurement = (hosts: string[], more: object = {}) => ({
  input: `https://${hosts[0]}/`,
  report_id: 'r',
  measurement_start_time: '2024-04-02 10:00:00',
  test_start_time: '2024-04-02 10:00:00',
  probe_asn: 'AS137',
  probe_cc: 'IT',
  test_name: 'web_connectivity',
  test_version: '0.5.28',
  test_runtime: 1.5,
  software_name: 's',
  software_version: '1',
  measurement_uid: UID,
  test_keys: { queries: hosts.map(hostname => ({ hostname, query_type: 'A', failure: 'dns_nxdomain_error' })) },
  ...more,
});

describe('uids in documents', () => {
  let clickhouse: ClickHouse;
  let url: string;
  beforeAll(async () => {
    ({ clickhouse, url } = await makeDatabase(inject('clickhouseUrl'), 'uids'));
  });
  afterAll(() => clickhouse.close());

  /** Creates an archive of JSON lines, by day and number of the object. */
  function archive(objects: Record<string, string>): string {
    const root = temporaryDirectory();
    for (const [name, lines] of Object.entries(objects)) {
      const [day, number] = name.split('/') as [string, string];
      const key = `raw/${day}/10/IT/webconnectivity/${day}10_IT_webconnectivity.n1.${number}.jsonl.gz`;
      mkdirSync(join(root, dirname(key)), { recursive: true });
      writeFileSync(join(root, key), gzipSync(lines));
    }
    return root;
  }

  const hosts = async (where = '1') =>
    (
      await clickhouse.select<{ uid: string; hosts: string[] }>(
        `SELECT measurement_uid AS uid, arraySort(groupArray(assumeNotNull(hostname))) AS hosts FROM obs_web
         WHERE ${where} GROUP BY uid ORDER BY uid DESC`,
      )
    ).map(({ uid, hosts }) => [uid === UID ? 'own' : uid.slice(0, 10), ...hosts]);
  const line = (document: object) => `${JSON.stringify(document)}\n`;

  it('two measurements with one uid are both kept, across files, days and repetitions; the same one twice is one', async () => {
    const [a, b, c] = [['a.example', 'a2.example'], ['b.example'], ['c.example']].map(names => measurement(names!));
    const { input, ...rest } = a!;
    const root = archive({
      '20240402/0': line(a!) + line(b!),
      // The same measurement in another notation, without a newline at the end.
      '20240402/1': JSON.stringify({ ...rest, input }, null, 1).replaceAll('\n', ''),
      '20240403/0': line(c!) + line(b!) + line(a!),
    });
    const tools = runTools(clickhouse, root);
    const expected = [
      ['own', 'a.example', 'a2.example'],
      ['0120240402', 'b.example'],
    ];
    for (let repeat = 0; repeat < 2; repeat++) {
      const { counts } = await runWhole(tools, '2024-04-02');
      expect(counts).toMatchObject({ read: 3, transformed: 3, failed: 0 });
      expect(await hosts("bucket_date = '2024-04-02'")).toEqual(expected);
      await runWhole(tools, '2024-04-03');
      expect(await hosts()).toEqual(expect.arrayContaining([['0120240402', 'c.example']]));
      for (const bucket of ['2024-04-02', '2024-04-03']) {
        const key = { bucket, filter: EVERYTHING, filterID: filterIDOf(EVERYTHING) };
        const problems = (await verifyBucket(tools, key)).flatMap(each => each.problems);
        expect(problems).toEqual([]);
      }
    }
  });

  const claimsOf = (uid: string, count: number) =>
    Array.from({ length: count }, (_, i) => ({
      ...{ uid, key: 'k', line: i, testName: 't' },
      claim: { digest: `d${i}`, substitute: `s${i}` },
    }));

  it('if several batches claim a uid at the same time, at most one gets it, also when they are repeated', async () => {
    for (let round = 0; round < 5; round++) {
      const uid = `20240402100000.000000_IT_webconnectivity_000000000000000${round}`;
      const claims = claimsOf(uid, 8);
      const first = await Promise.all(claims.map(each => claimUids(clickhouse, [each])));
      const again = await Promise.all(claims.map(each => claimUids(clickhouse, [each])));
      const winners = (all: readonly ReadonlySet<unknown>[]) =>
        all.flatMap(({ size }, index) => (size === 0 ? index : []));
      expect(winners(first).length).toBeLessThanOrEqual(1);
      expect(winners(again)).toEqual(winners(first));
      expect((await ownersOf(clickhouse, [uid, 'unknown'])).size).toBe(winners(first).length);
    }
  });

  it('a claim that is stored late, though it was made earlier, does not take a uid from its owner', async () => {
    const [a, b] = claimsOf('20240402100000.000000_IT_webconnectivity_00000000000000aa', 2) as [
      MeasurementRef,
      MeasurementRef,
    ];
    /** Stores the claim of another batch behind the last look of the first one. The time of the claim is earlier. */
    class Late extends ClickHouse {
      override async select<Row>(...args: Parameters<ClickHouse['select']>): Promise<Row[]> {
        const rows = await super.select<Row>(...args);
        if (rows.length > 0) {
          const early = { measurement_uid: b.uid, digest: b.claim!.digest, claimed_at: '2020-01-01 00:00:00.000000' };
          await clickhouse.insert('pipeline_uids', [early]);
        }
        return rows;
      }
    }
    const late = new Late(parseClickHouseUrl(url), '');
    expect((await claimUids(late, [a])).size).toBe(0);
    await late.close();
    expect(await claimUids(clickhouse, [b])).toEqual(new Set([b]));
    expect((await claimUids(clickhouse, [a])).size).toBe(0);
  });

  it('queries in pieces', async () => {
    const many = Array.from({ length: 2500 }, (_, i) => ({
      ...{ uid: `u${i % 2400}`, key: 'k', line: i, testName: 't' },
      claim: { digest: `d${i}`, substitute: 's' },
    }));
    expect((await claimUids(clickhouse, many)).size).toBe(100);
    expect((await claimUids(clickhouse, many)).size).toBe(100);
  });
});
