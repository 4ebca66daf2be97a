import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import type { RowBlock } from '../../pipeline/tables/block.ts';
import { type ClickHouse, openClickHouse, quote } from '../../pipeline/tables/clickhouse.ts';
import {
  ClickHouseAccessError,
  ClickHouseUnavailableError,
  RowsRefusedError,
  TableSchemaError,
} from '../../pipeline/tables/errors.ts';
import { Inserter } from '../../pipeline/tables/inserter.ts';
import { OBS_WEB } from '../../pipeline/tables/schema.ts';
import { startProxy } from '../support/clickhouse-proxy.ts';
import { makeDatabase } from '../support/database.ts';

const QUICK = { attempts: 4, initial: 5, longest: 20 };
let url: string;
let clickhouse: ClickHouse;

beforeAll(async () => {
  ({ url, clickhouse } = await makeDatabase(inject('clickhouseUrl'), 'inserter'));
  await clickhouse.command("ALTER TABLE obs_web ADD CONSTRAINT sane CHECK hostname != 'poison'");
});
afterAll(() => clickhouse.close());

/** Returns rows of obs_web in ClickHouse's own RowBinary: one for each host name, `perMeasurement` rows per measurement. */
async function block(hostnames: readonly string[], perMeasurement = 1): Promise<RowBlock> {
  const parts: Buffer[] = [];
  for (const [index, hostname] of hostnames.entries()) {
    const given: Record<string, string> = {
      measurement_uid: quote(`uid-${Math.floor(index / perMeasurement)}`),
      bucket_date: quote('2024-01-01'),
      hostname: quote(hostname),
      observation_idx: String(index % perMeasurement),
      run_generation: '7',
      probe_asn: '4200000000',
    };
    const columns = OBS_WEB.columns.map(([name, type]) =>
      name in given ? `CAST(${given[name]}, ${quote(type)})` : `defaultValueOfTypeName(${quote(type)})`,
    );
    const response = await fetch(`${inject('clickhouseUrl')}/?default_format=RowBinary`, {
      method: 'POST',
      body: `SELECT ${columns.join(', ')}`,
    });
    expect(response.status).toBe(200);
    parts.push(Buffer.from(await response.arrayBuffer()));
  }
  const offsets = new Uint32Array(parts.length + 1);
  parts.forEach((part, index) => {
    offsets[index + 1] = offsets[index]! + part.length;
  });
  return {
    table: 'obs_web',
    rows: parts.length,
    bytes: Buffer.concat(parts),
    offsets,
    owners: Uint32Array.from(parts, (_, index) => Math.floor(index / perMeasurement)),
    measurements: Array.from({ length: Math.ceil(parts.length / perMeasurement) }, (_, index) => ({
      uid: `uid-${index}`,
      key: 'raw/x.tar.gz',
      line: index + 1,
      testName: 'web_connectivity',
    })),
  };
}

async function stored(): Promise<string[]> {
  const rows = await clickhouse.select<{ hostname: string }>('SELECT hostname FROM obs_web ORDER BY hostname');
  return rows.map(row => row.hostname);
}

describe('inserter', () => {
  test('stores a block in pieces of the batch size', async () => {
    await clickhouse.command('TRUNCATE TABLE obs_web');
    const inserter = new Inserter(clickhouse, { batchSize: 2 });
    const result = await inserter.insert(await block(['a', 'b', 'c', 'd', 'e']));
    expect(result).toEqual({ rows: 5, refused: [] });
    expect(await stored()).toEqual(['a', 'b', 'c', 'd', 'e']);
    const [row] = await clickhouse.select('SELECT probe_asn FROM obs_web LIMIT 1');
    expect(row).toEqual({ probe_asn: 4200000000 });
  });

  test('finds the rows that ClickHouse rejects and stores all others', async () => {
    await clickhouse.command('TRUNCATE TABLE obs_web');
    const hostnames = Array.from({ length: 40 }, (_, index) =>
      index === 3 || index === 28 || index === 29 ? 'poison' : `h${index}`,
    );
    const result = await new Inserter(clickhouse, { batchSize: 1000 }).insert(await block(hostnames, 2));
    expect(result.rows).toBe(37);
    expect(
      result.refused.map(({ table, measurement, row, code }) => [table, measurement.uid, measurement.line, row, code]),
    ).toEqual([
      ['obs_web', 'uid-1', 2, 1, 469],
      ['obs_web', 'uid-14', 15, 0, 469],
      ['obs_web', 'uid-14', 15, 1, 469],
    ]);
    expect(await stored()).toEqual(hostnames.filter(each => each !== 'poison').sort());
  });

  test('also rejects a garbled row', async () => {
    await clickhouse.command('TRUNCATE TABLE obs_web');
    const good = await block(['a', 'b', 'c']);
    const bytes = Buffer.from(good.bytes);
    // The length of the first text of row 1 is much larger than the block.
    bytes.fill(0xff, good.offsets[1]!, good.offsets[1]! + 4);
    const result = await new Inserter(clickhouse, { batchSize: 1000, retry: QUICK }).insert({ ...good, bytes });
    expect(result.refused.map(each => each.measurement.uid)).toEqual(['uid-1']);
    expect(await stored()).toEqual(['a', 'c']);
  });

  test('a response lost after the commit leads to a second copy, which FINAL hides', async () => {
    await clickhouse.command('TRUNCATE TABLE obs_web');
    let lost = 0;
    const broken = await startProxy(url, async ({ statement, forward, answer, drop }) => {
      const response = await forward();
      if (statement.startsWith('INSERT') && lost++ === 0) drop();
      else await answer(response);
    });
    const through = openClickHouse({ clickhouse_url: broken.url });
    const retries: string[] = [];
    const inserter = new Inserter(through, {
      batchSize: 1000,
      retry: QUICK,
      onRetry: error => retries.push(error.name),
    });
    expect(await inserter.insert(await block(['a', 'b']))).toEqual({ rows: 2, refused: [] });
    expect(retries).toEqual(['ClickHouseUnavailableError']);
    expect(await stored()).toEqual(['a', 'a', 'b', 'b']);
    expect(await clickhouse.select('SELECT hostname FROM obs_web FINAL ORDER BY hostname')).toEqual([
      { hostname: 'a' },
      { hostname: 'b' },
    ]);
    await through.close();
    broken.close();
  });

  test('waits while the server has no room, and reports it if that lasts', async () => {
    await clickhouse.command('TRUNCATE TABLE obs_web');
    let refusals = 2;
    const busy = await startProxy(url, async ({ forward, answer, refuse }) => {
      if (refusals-- <= 0) return answer(await forward());
      return refuse(
        500,
        'Code: 252. DB::Exception: Too many parts (3000). Merges are processing significantly slower than inserts. (TOO_MANY_PARTS)',
      );
    });
    const through = openClickHouse({ clickhouse_url: busy.url });
    const errors: string[] = [];
    const onError = (error: Error) => errors.push(error.name);
    const inserter = new Inserter(through, { batchSize: 1000, retry: QUICK, onError });
    expect(await inserter.insert(await block(['a']))).toEqual({ rows: 1, refused: [] });
    expect(errors).toEqual(['ClickHouseUnavailableError', 'ClickHouseUnavailableError']);
    refusals = 100;
    await expect(inserter.insert(await block(['b']))).rejects.toThrow(ClickHouseUnavailableError);
    expect(await stored()).toEqual(['a']);
    await through.close();
    busy.close();
  });

  test('recognizes errors that a retry cannot solve', async () => {
    const good = await block(['a']);
    const insertInto = (clickhouse_url: string) =>
      new Inserter(openClickHouse({ clickhouse_url }), { batchSize: 10, retry: QUICK })
        .insert(good)
        .catch(error => error);
    expect(await insertInto(`${inject('clickhouseUrl')}/no_such_database`)).toBeInstanceOf(TableSchemaError);
    expect(await insertInto('http://127.0.0.1:9/x')).toBeInstanceOf(ClickHouseUnavailableError);
    const guarded = await startProxy(url, async ({ refuse }) =>
      refuse(
        403,
        'Code: 516. DB::Exception: me: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)',
      ),
    );
    const denied = await insertInto(guarded.url.replace('//', '//me:s3cret@'));
    expect(denied).toBeInstanceOf(ClickHouseAccessError);
    expect(`${denied.message} ${JSON.stringify(denied)} ${denied.stack}`).not.toContain('s3cret');
    guarded.close();
  });

  test('gives up on a table that rejects everything, and does not set all rows aside', async () => {
    await clickhouse.command('TRUNCATE TABLE obs_web');
    const poison = await block(['poison']);
    const many = 400;
    const size = poison.bytes.length;
    const all: RowBlock = {
      ...poison,
      rows: many,
      bytes: Buffer.concat(Array.from({ length: many }, () => poison.bytes)),
      offsets: Uint32Array.from({ length: many + 1 }, (_, index) => index * size),
      owners: new Uint32Array(many),
    };
    await expect(new Inserter(clickhouse, { batchSize: 5000 }).insert(all)).rejects.toThrow(RowsRefusedError);
  });

  test('stops waiting on request', async () => {
    const through = openClickHouse({ clickhouse_url: 'http://127.0.0.1:9/x' });
    const stop = new AbortController();
    const inserter = new Inserter(through, {
      batchSize: 10,
      retry: { attempts: 10, initial: 60_000, longest: 60_000 },
      onRetry: () => stop.abort(new Error('stop now')),
    });
    await expect(inserter.insert(await block(['a']), stop.signal)).rejects.toThrow('stop now');
  });
});
