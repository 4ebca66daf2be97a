import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { createClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { endOfStatement } from '../../clickhouse/statement.ts';
import { XxHash32 } from '../../pipeline/archive/xxh32.ts';

const url = inject('clickhouseUrl');
const database = 'clickhouse_server_test';
const client = createClient({ url, database, log: { level: 127 as never } });

/** Returns one row of (UInt32, String) as RowBinary. */
function row(number: number, value: string): Buffer {
  const bytes = Buffer.from(value);
  const head = Buffer.alloc(5);
  head.writeUInt32LE(number);
  head[4] = bytes.length;
  return Buffer.concat([head, bytes]);
}

/** Returns an LZ4 frame with stored, uncompressed blocks. */
function lz4(data: Buffer): Buffer {
  const descriptor = Buffer.from([0x60, 0x70]);
  const parts: Buffer[] = [Buffer.from([0x04, 0x22, 0x4d, 0x18]), descriptor];
  parts.push(Buffer.from([(new XxHash32().update(descriptor).digest() >>> 8) & 0xff]));
  const size = Buffer.alloc(4);
  for (let at = 0; at < data.length; at += 4 << 20) {
    const block = data.subarray(at, at + (4 << 20));
    size.writeUInt32LE((block.length | 0x80000000) >>> 0);
    parts.push(Buffer.from(size), block);
  }
  return Buffer.concat([...parts, Buffer.alloc(4)]);
}

async function rows<T>(query: string, query_params: Record<string, unknown> = {}): Promise<T[]> {
  const result = await client.query({ query, query_params, format: 'JSONEachRow' });
  return result.json<T>();
}

/** Sends a request like clients other than Node's send it. */
async function post(path: string, body: Buffer | string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(new URL(path, url), { method: 'POST', body: body as string, headers });
}

beforeAll(async () => {
  const admin = createClient({ url });
  await admin.command({ query: `CREATE DATABASE IF NOT EXISTS ${database}` });
  await admin.close();
  await client.command({ query: 'CREATE TABLE pairs (a UInt32, b String) ENGINE = MergeTree ORDER BY a' });
});

afterAll(async () => {
  await client.command({ query: `DROP DATABASE ${database}` });
  await client.close();
});

describe('queries', () => {
  test('answers ping', async () => {
    expect(await client.ping()).toEqual({ success: true });
  });

  test('binds parameters with any characters', async () => {
    const text = `quote ' backslash \\ tab \t line \n zero \0 ünï 🦉`;
    const [bound] = await rows<object>('SELECT {s:String} AS s, {n:UInt32} AS n, {l:Array(String)} AS l', {
      s: text,
      n: 4294967295,
      l: ["it's", 'a\\b', ''],
    });
    expect(bound).toEqual({ s: text, n: 4294967295, l: ["it's", 'a\\b', ''] });
  });

  test('accepts parameters too long for a URL', async () => {
    const list = Array.from({ length: 20_000 }, (_, index) => `value-${index}`);
    const [bound] = await rows<{ n: string }>('SELECT length({l:Array(String)}) AS n', { l: list });
    expect(Number(bound?.n)).toBe(20_000);
  });

  test('applies settings to one statement only', async () => {
    const ask = (clickhouse_settings = {}) =>
      client
        .query({ query: "SELECT getSetting('max_block_size') AS n", clickhouse_settings, format: 'JSONEachRow' })
        .then(result => result.json<{ n: number }>());
    const before = await ask();
    expect(await ask({ max_block_size: '1234' })).toEqual([{ n: 1234 }]);
    expect(await ask()).toEqual(before);
  });

  test('sends every block of a long result once, in order', async () => {
    const result = await client.query({ query: 'SELECT number FROM numbers(300000)', format: 'JSONEachRow' });
    let next = 0;
    for await (const batch of result.stream<{ number: number }>()) {
      for (const item of batch) expect(Number(item.json().number)).toBe(next++);
    }
    expect(next).toBe(300_000);
  });

  test('sends formats with a head and an end as a whole', async () => {
    const result = await client.query({ query: 'SELECT number FROM numbers(200000)', format: 'JSON' });
    const { rows: count, data } = await result.json<{ number: number }>();
    expect(count).toBe(200_000);
    expect(data).toHaveLength(200_000);
    const csv = await post('/?query=', 'SELECT number FROM numbers(200000) FORMAT CSVWithNames');
    expect(csv.headers.get('x-clickhouse-format')).toBe('CSVWithNames');
    const lines = (await csv.text()).trimEnd().split('\n');
    expect(lines).toHaveLength(200_001);
    expect(lines.filter(line => line === '"number"')).toHaveLength(1);
  });

  test.each([
    'CSVWithNames',
    'CSVWithNamesAndTypes',
    'JSONCompactEachRowWithNames',
    'JSONCompactEachRowWithNamesAndTypes',
    'TSVWithNames',
    'TabSeparatedWithNames',
    'TabSeparatedWithNamesAndTypes',
    'CSV',
    'TabSeparated',
  ])('a result in %s is the same as a stream and as a whole', async format => {
    for (const query of [
      'SELECT number, toString(number) FROM numbers(200000)',
      'SELECT number AS `a"b\nc\td` FROM numbers(70000)',
      'SELECT number FROM numbers(3) WHERE number > 5',
      'SELECT number, count() FROM numbers(2) GROUP BY number WITH TOTALS ORDER BY number',
      'SELECT number FROM numbers(3) SETTINGS extremes = 1',
      'FROM numbers(100000) SELECT number',
    ]) {
      const asItComes = await (await post(`/?default_format=${format}`, query)).text();
      const whole = await (await post(`/?default_format=${format}&wait_end_of_query=1`, query)).text();
      expect(asItComes === whole, `${query}: ${asItComes.slice(0, 200)}`).toBe(true);
    }
  });

  test('compresses responses on request', async () => {
    for (const encoding of ['gzip', 'zstd']) {
      const response = await fetch(new URL('/?enable_http_compression=1', url), {
        method: 'POST',
        body: 'SELECT number FROM numbers(1000) FORMAT TSV',
        headers: { 'accept-encoding': encoding },
      });
      expect(response.headers.get('content-encoding')).toBe(encoding);
      expect((await response.text()).split('\n')).toHaveLength(1001);
    }
    const plain = await post('/', 'SELECT 1');
    expect(plain.headers.get('content-encoding')).toBeNull();
  });

  test('runs statements in parallel, each in its own database and settings', async () => {
    const answers = await Promise.all(
      Array.from({ length: 24 }, async (_, index) => {
        const response = await post(`/?param_i=${index}&max_block_size=${index + 1}`, '', {});
        expect(response.status).toBe(400);
        const query = "SELECT {i:UInt32}, getSetting('max_block_size'), currentDatabase()";
        return (await post(`/?param_i=${index}&max_block_size=${index + 1}&database=${database}`, query)).text();
      }),
    );
    expect(answers).toEqual(answers.map((_, index) => `${index}\t${index + 1}\t${database}\n`));
  });

  test('GET may not write', async () => {
    const get = (query: string) => fetch(new URL(`/?database=${database}&query=${encodeURIComponent(query)}`, url));
    expect(await (await get('SELECT 1 + 1')).text()).toBe('2\n');
    const refused = await get("INSERT INTO pairs VALUES (1, 'x')");
    expect(refused.headers.get('x-clickhouse-exception-code')).toBe('164');
    expect(await refused.text()).toContain('READONLY');
  });
});

describe('inserts', () => {
  const count = async (table: string) => Number((await rows<{ n: string }>(`SELECT count() AS n FROM ${table}`))[0]?.n);

  test('accepts RowBinary as a stream and reports the number of written rows', async () => {
    await client.command({ query: 'CREATE TABLE binary AS pairs' });
    // Values that look like SQL, and bytes that end a statement or a line, are still rows.
    const values = ['', ';', '\n', "') FORMAT TSV\n", 'SETTINGS', '\0'];
    const { summary } = await client.exec({
      query: 'INSERT INTO binary (a, b) FORMAT RowBinary',
      values: Readable.from(values.map((value, index) => row(index, value))),
    });
    expect(summary?.written_rows).toBe(String(values.length));
    expect(await rows('SELECT a, b FROM binary ORDER BY a')).toEqual(values.map((b, a) => ({ a, b })));
  });

  test('accepts the statement and binary rows in one body', async () => {
    await client.command({ query: 'CREATE TABLE joined AS pairs' });
    const many = Buffer.concat(Array.from({ length: 100_000 }, (_, index) => row(index, 'value')));
    for (const [body, encoding] of [
      [(data: Buffer) => data, undefined],
      [(data: Buffer) => gzipSync(data), 'gzip'],
      [(data: Buffer) => zstdCompressSync(data), 'zstd'],
      [lz4, 'lz4'],
    ] as const) {
      const statement = Buffer.concat([
        Buffer.from(
          `/* by hand */ INSERT INTO ${database}.joined (a, b) SETTINGS max_insert_threads=1 FORMAT RowBinary\n`,
        ),
        many,
      ]);
      const response = await post('/', body(statement), encoding ? { 'content-encoding': encoding } : {});
      expect(await response.text()).toBe('');
      expect(JSON.parse(response.headers.get('x-clickhouse-summary')!).written_rows).toBe('100000');
    }
    expect(await count('joined')).toBe(400_000);
  });

  test('accepts rows as JSON, as SQL and from a SELECT', async () => {
    await client.command({ query: 'CREATE TABLE other AS pairs' });
    await client.insert({ table: 'other', values: [{ a: 1, b: "it's" }], format: 'JSONEachRow' });
    await client.command({ query: "INSERT INTO other (a, b) VALUES (2, 'FORMAT TSV'), (3, 'x')" });
    const { summary } = await client.command({
      query: 'INSERT INTO other SELECT number + 4, toString(number) FROM numbers(5)',
    });
    expect(summary?.written_rows).toBe('5');
    expect(await count('other')).toBe(8);
  });

  test('writes nothing for an empty body', async () => {
    const { summary } = await client.exec({
      query: 'INSERT INTO pairs (a, b) FORMAT RowBinary',
      values: Readable.from([]),
    });
    expect(summary?.written_rows).toBe('0');
  });

  test('writes nothing of an incomplete body', async () => {
    await client.command({ query: 'CREATE TABLE broken AS pairs' });
    await expect(
      client.exec({
        query: 'INSERT INTO broken (a, b) FORMAT RowBinary',
        values: Readable.from([row(1, 'whole'), row(2, 'cut').subarray(0, 6)]),
      }),
    ).rejects.toMatchObject({ code: '33', type: 'CANNOT_READ_ALL_DATA', message: expect.stringContaining('at row 2') });
    expect(await count('broken')).toBe(0);
  });
});

describe('errors', () => {
  test.each([
    ['SELECT * FROM nowhere', 404, '60', 'UNKNOWN_TABLE'],
    ['SELECT FROM WHERE', 400, '62', 'SYNTAX_ERROR'],
    ['SELECT {missing:String}', 400, '456', 'UNKNOWN_QUERY_PARAMETER'],
    ["SELECT throwIf(1, 'no')", 500, '395', 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO'],
  ])('%s', async (query, status, code, type) => {
    const response = await post('/', query);
    expect(response.status).toBe(status);
    expect(response.headers.get('x-clickhouse-exception-code')).toBe(code);
    expect(await response.text()).toMatch(
      new RegExp(`^Code: ${code}\\. DB::Exception: .* \\(${type}\\) \\(version .*\\)\n$`, 's'),
    );
    await expect(client.query({ query }).then(result => result.text())).rejects.toMatchObject({ code });
  });

  test('several statements are rejected, and none is run', async () => {
    for (const query of [
      `SELECT 1; CREATE TABLE ${database}.second (a UInt8) ENGINE = TinyLog`,
      `INSERT INTO ${database}.pairs SELECT 1, 'x'; CREATE TABLE ${database}.second (a UInt8) ENGINE = TinyLog`,
    ]) {
      const response = await post('/', query);
      expect(response.status).toBe(400);
      expect(await response.text()).toMatch(/^Code: 62\. .*Multi-statements are not allowed/s);
    }
    expect(await (await post('/', `EXISTS TABLE ${database}.second`)).text()).toBe('0\n');
    expect(await rows('SELECT * FROM pairs')).toEqual([]);
    expect(await (await post('/', "SELECT ';' ; -- the end;\n;")).text()).toBe(';\n');
  });

  test('a statement cannot write a file', async () => {
    const response = await post('/', "SELECT 1 INTO OUTFILE '/tmp/never' FORMAT CSV");
    expect(response.headers.get('x-clickhouse-exception-code')).toBe('232');
  });

  test('statements are separated as ClickHouse separates them', async () => {
    const parts = [
      "'",
      '"',
      '`',
      '\\',
      ';',
      ' ',
      '\n',
      '--',
      '//',
      '# ',
      '#!',
      '#',
      '/*',
      '*/',
      '$a$',
      '$$',
      '$',
      '1',
      '2a',
      'b',
      'b$c',
    ];
    parts.push("''", '‘', '’', '“', '”', '(', ')', ',', '+', '-', '\\;', "\\'", 'x', '\r', '\u00a0');
    let seed = 20_240_101;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
      return (seed >> 8) % below;
    };
    const seen = { one: 0, several: 0 };
    for (let round = 0; round < 1000; round++) {
      const some = Array.from({ length: 1 + random(9) }, () => parts[random(parts.length)]).join('');
      const text = `SELECT 1 AS q ${some}${random(2) ? ' ; SELECT 2' : ''}`;
      // ClickHouse's own parser decides. A text that it cannot parse at all is not a test.
      const answer = await (
        await post(
          `/?param_text=${encodeURIComponent(text.replaceAll('\\', '\\\\'))}`,
          'SELECT formatQuery({text:String})',
        )
      ).text();
      const isSeveral = answer.includes('Multi-statements are not allowed');
      if (!isSeveral && answer.startsWith('Code:')) continue;
      seen[isSeveral ? 'several' : 'one']++;
      expect(endOfStatement(text).next !== undefined, `${JSON.stringify(text)}: ${answer}`).toBe(isSeveral);
    }
    expect(seen.one).toBeGreaterThan(50);
    expect(seen.several).toBeGreaterThan(15);
  });

  test('the error names an unknown setting, database or compression', async () => {
    expect(await (await post('/?no_such_setting=1', 'SELECT 1')).text()).toContain('no_such_setting');
    expect(await (await post('/?database=nowhere', 'SELECT 1')).text()).toContain('UNKNOWN_DATABASE');
    expect(await (await post('/', 'SELECT 1', { 'content-encoding': 'xz' })).text()).toContain('xz');
    expect((await post('/nowhere', 'SELECT 1')).status).toBe(404);
  });

  test('an error after the first block ends the stream with the server’s message', async () => {
    const query = 'SELECT throwIf(number = 500000) FROM numbers(1000000)';
    const result = await client.query({ query, format: 'JSONEachRow' });
    await expect(result.json()).rejects.toMatchObject({ code: '395' });
  });

  test('a client that leaves ends its query and blocks no other client', async () => {
    for (let index = 0; index < 12; index++) {
      const abort = new AbortController();
      const result = await client.query({
        query: 'SELECT number, randomPrintableASCII(100) FROM numbers(1000000000)',
        format: 'TabSeparated',
        abort_signal: abort.signal,
      });
      abort.abort();
      result.close();
    }
    expect(await rows('SELECT 1 AS n')).toEqual([{ n: 1 }]);
  });
});

test('command results may be read as text', async () => {
  const { stream } = await client.exec({ query: 'SELECT 1 + 1' });
  expect(await text(stream)).toBe('2\n');
});
