import { randomBytes, randomUUID, timingSafeEqual } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { constants, createBrotliCompress, createDeflate, createGzip, createZstdCompress } from 'node:zlib';
import { type Connection, type Counts, type Engine, EngineError } from './engine.ts';
import { RequestError, readStatement, type Statement } from './request.ts';
import { endOfStatement, namesFile, outputFormat, quote, statementKind } from './statement.ts';

/**
 * Formats with blocks that can simply be concatenated. Results in other formats have a head or an end, and are sent when complete. The
 * formats in NAMED have a head that the engine repeats with every block.
 */
const STREAMED = new Set([
  'CSV',
  'JSONCompactEachRow',
  'JSONCompactStringsEachRow',
  'JSONEachRow',
  'JSONStringsEachRow',
  'LineAsString',
  'MsgPack',
  'NDJSON',
  'JSONLines',
  'Native',
  'RowBinary',
  'TSV',
  'TSVRaw',
  'TabSeparated',
  'TabSeparatedRaw',
  'Values',
]);
const NAMED: Readonly<Record<string, NameLines>> = {
  CSVWithNames: { lines: 1, quoted: true },
  CSVWithNamesAndTypes: { lines: 2, quoted: true },
  JSONCompactEachRowWithNames: { lines: 1, quoted: false },
  JSONCompactEachRowWithNamesAndTypes: { lines: 2, quoted: false },
  TSVWithNames: { lines: 1, quoted: false },
  TSVWithNamesAndTypes: { lines: 2, quoted: false },
  TabSeparatedWithNames: { lines: 1, quoted: false },
  TabSeparatedWithNamesAndTypes: { lines: 2, quoted: false },
};

/** The head of a format with names: the number of lines, and whether a line may continue inside quotes. */
interface NameLines {
  readonly lines: number;
  readonly quoted: boolean;
}

/** HTTP status of an error code, unless it is 500 (ClickHouse's exceptionCodeToHTTPStatus). */
const STATUS: Readonly<Record<number, number>> = Object.fromEntries([
  ...[6, 26, 27, 33, 36, 38, 41, 43, 44, 53, 62, 69, 70, 72, 117, 130, 131, 158, 427, 456].map(code => [code, 400]),
  ...[46, 47, 50, 56, 60, 63, 78, 81, 115].map(code => [code, 404]),
  ...[497].map(code => [code, 403]),
  ...[48].map(code => [code, 501]),
  ...[159].map(code => [code, 408]),
  ...[76, 439].map(code => [code, 503]),
]);

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  JSON: 'application/json; charset=UTF-8',
  JSONCompact: 'application/json; charset=UTF-8',
  JSONEachRow: 'application/x-ndjson; charset=UTF-8',
  JSONCompactEachRow: 'application/x-ndjson; charset=UTF-8',
  CSV: 'text/csv; charset=UTF-8; header=absent',
  CSVWithNames: 'text/csv; charset=UTF-8; header=present',
  TabSeparated: 'text/tab-separated-values; charset=UTF-8',
  Native: 'application/octet-stream',
  RowBinary: 'application/octet-stream',
};

/**
 * Creates ClickHouse's HTTP interface (https://clickhouse.com/docs/interfaces/http) for an engine: statements by GET and POST, settings and
 * parameters in the URL, compression in both directions, the server's status codes and exception headers. There are no users, so bind it to
 * a loopback address. Sessions, external tables and native block compression are not supported.
 *
 * @param scratch directory for the rows of INSERTs in transit; best in memory
 * @param password that clients must send by basic authentication; if absent, none is required
 */
export function createClickHouseServer(engine: Engine, scratch: string, version: string, password?: string): Server {
  // The server's http_max_uri_size: parameters travel in the URL.
  const server = createServer({ maxHeaderSize: 1024 * 1024 }, (request, response) => {
    const handled = isAllowed(request, password)
      ? handle(engine, scratch, { version, request, response })
      : Promise.reject(new RequestError(403, 516, 'AUTHENTICATION_FAILED', 'Authentication failed'));
    handled.catch(error => fail(version, response, error));
  });
  // A client keeps connections open between statements, and a statement may take long before its first byte.
  server.keepAliveTimeout = 30_000;
  server.requestTimeout = 0;
  server.headersTimeout = 60_000;
  return server;
}

/** Checks the password. Other users of the machine also reach a loopback port, and a statement may read every file of this user. */
function isAllowed(request: IncomingMessage, password: string | undefined): boolean {
  if (password === undefined) return true;
  const basic = /^Basic (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
  const given = Buffer.from(
    Buffer.from(basic, 'base64')
      .toString()
      .replace(/^[^:]*:/, ''),
  );
  const expected = Buffer.from(password);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** One request and its response. */
interface Exchange {
  /** Version of ClickHouse, for the text of errors. */
  readonly version: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

async function handle(engine: Engine, scratch: string, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  const url = new URL(request.url ?? '/', 'http://localhost');
  response.setHeader('X-ClickHouse-Server-Display-Name', 'local');
  if (url.pathname === '/ping' || url.pathname === '/replicas_status') return void response.end('Ok.\n');
  if (url.pathname !== '/') {
    response.statusCode = 404;
    return void response.end(`There is no handle ${url.pathname}\n`);
  }
  if (request.method === 'GET' && !url.searchParams.has('query')) return void response.end('Ok.\n');
  if (request.method !== 'GET' && request.method !== 'POST') {
    throw new RequestError(501, 48, 'NOT_IMPLEMENTED', `Method ${request.method} is not offered`);
  }
  const id = randomUUID();
  const dataFile = join(scratch, id);
  try {
    const statement = await readStatement(request, url, dataFile);
    refuseForeign(statement);
    response.setHeader('X-ClickHouse-Query-Id', statement.queryId ?? id);
    await engine.connect(async connection => {
      await prepare(connection, statement);
      await run(connection, statement, dataFile, exchange);
    });
  } finally {
    await rm(dataFile, { force: true });
  }
}

/** Rejects several statements in one, and statements that name files to read or write. The engine runs both; a server rejects both. */
function refuseForeign({ sql, insert }: Statement): void {
  if (insert) return;
  const { end, next } = endOfStatement(sql);
  if (next !== undefined) {
    throw new RequestError(
      400,
      62,
      'SYNTAX_ERROR',
      `Syntax error (Multi-statements are not allowed): failed at position ${end + 1} (;): ${sql.slice(end, end + 100)}`,
    );
  }
  if (!namesFile(sql)) return;
  throw new RequestError(400, 232, 'INTO_OUTFILE_NOT_ALLOWED', 'INTO OUTFILE and FROM INFILE are not allowed');
}

/**
 * Settings that differ from the engine's defaults: optimisations that search long for patterns that large statements seldom have. Their
 * gain shows in millions of rows; here they double the planning time.
 */
const SETTINGS = { optimize_and_compare_chain: '0', optimize_aggregators_of_group_by_keys: '0' };

/** A parameter text longer than this counts as a statement of that length, which is limited (`max_query_size`, 262,144 bytes). */
const LONG = 100_000;

/** Sets database, settings and parameters on the connection. Uses few statements, because each costs more than its effect. */
async function prepare(connection: Connection, statement: Statement): Promise<void> {
  // A connection begins in `default`.
  if (statement.database && statement.database !== 'default') {
    await connection.query(`USE ${identifier(statement.database)}`, 'Null');
  }
  const { readonly, ...settings } = statement.settings;
  const set = (values: readonly (readonly [string, string])[]) =>
    connection.query(`SET ${values.map(([name, value]) => `${name} = ${value}`).join(', ')}`, 'Null');
  // SET takes either parameters or settings.
  const params = Object.entries(statement.params).map(
    ([name, value]) => [identifier(`param_${name}`), quote(value)] as const,
  );
  if (params.length > 0) {
    // Parameters are not part of the statement, whose length is limited.
    const long = params.reduce((length, [name, value]) => length + name.length + value.length, 0) > LONG;
    if (long) await set([['max_query_size', '0']]);
    await set(params);
    if (long) await set([['max_query_size', 'DEFAULT']]);
  }
  const all = Object.entries({ ...SETTINGS, ...settings });
  await set(all.map(([name, value]) => [identifier(name), quote(value)] as const));
  // Last, because it forbids changes of the others.
  if (readonly) await set([['readonly', quote(readonly)]]);
}

async function run(connection: Connection, statement: Statement, dataFile: string, exchange: Exchange): Promise<void> {
  const { request, response } = exchange;
  const { sql, insert } = statement;
  const kind = statementKind(sql);
  if (insert || kind === 'INSERT') {
    const counts = await connection.insert(
      insert ? `${insert.target} FROM INFILE ${quote(dataFile)} ${insert.settings} FORMAT ${insert.format}` : sql,
    );
    summary(response, counts);
    response.end();
    return;
  }
  const format = outputFormat(sql) ?? statement.format;
  response.setHeader('X-ClickHouse-Format', format);
  response.setHeader('X-ClickHouse-Timezone', 'UTC');
  response.setHeader('Content-Type', CONTENT_TYPES[format] ?? 'text/plain; charset=UTF-8');
  if (!statement.whole && (kind === 'SELECT' || kind === 'FROM') && (STREAMED.has(format) || NAMED[format])) {
    await stream(connection, sql, format, exchange);
    return;
  }
  const { bytes, counts } = await connection.query(sql, format);
  summary(response, counts);
  const out = compressed(request, response);
  out.end(bytes);
}

/**
 * Sends a result as it arrives. An error after the first block is sent as servers since 25.11 do: in the body, under a tag named in a
 * header.
 */
async function stream(
  connection: Connection,
  sql: string,
  format: string,
  { version, request, response }: Exchange,
): Promise<void> {
  const tag = randomBytes(8).toString('hex');
  const names = NAMED[format];
  const blocks = names ? withOneHead(connection.stream(sql, format), names) : connection.stream(sql, format);
  // The first block decides the status: an error before it is an ordinary one.
  let block = await blocks.next();
  response.setHeader('X-ClickHouse-Exception-Tag', tag);
  const out = compressed(request, response);
  out.on('error', () => {});
  try {
    while (!block.done && !response.destroyed) {
      if (!out.write(block.value)) await roomOrEnd(out, response);
      block = await blocks.next();
    }
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    const message = `${text(error, version)}\n`;
    const size = Buffer.byteLength(message);
    out.write(`\r\n__exception__\r\n${tag}\r\n${message}${size} ${tag}\r\n__exception__\r\n`);
  } finally {
    await blocks.return();
  }
  out.end();
}

/** Resolves when `out` accepts more, or when the client is gone. */
function roomOrEnd(out: Writable, response: ServerResponse): Promise<void> {
  return new Promise(resolve => {
    const done = () => {
      out.off('drain', done);
      response.off('close', done);
      resolve();
    };
    if (response.destroyed) return resolve();
    out.on('drain', done);
    response.on('close', done);
  });
}

/**
 * Yields the blocks of a format with names, but the names only before the first row. The engine writes them at the start of every block; in
 * a block that holds totals or extremes, it writes them at the end.
 */
async function* withOneHead(blocks: AsyncGenerator<Buffer, void>, names: NameLines): AsyncGenerator<Buffer, void> {
  let head: Buffer | undefined;
  for await (const block of blocks) {
    if (head === undefined) {
      head = block.subarray(0, endOfHead(block, names));
      yield block;
    } else if (block.subarray(0, head.length).equals(head)) {
      yield block.subarray(head.length);
    } else {
      const atEnd = block.subarray(-head.length).equals(head);
      yield atEnd ? block.subarray(0, block.length - head.length) : block;
    }
  }
}

/** Returns the length of the lines of names and types at the start of a result, or 0 if the result does not begin with names. */
function endOfHead(block: Buffer, { lines, quoted }: NameLines): number {
  let left = lines;
  let within = false;
  if (block[0] === LINE_END) return 0;
  for (let at = 0; at < block.length; at++) {
    if (quoted && block[at] === QUOTE) within = !within;
    else if (block[at] === LINE_END && !within && --left === 0) return at + 1;
  }
  return 0;
}

const LINE_END = 10;
const QUOTE = 34;

/** Returns the response, through a compressor if the client requests compression and the setting allows it. */
function compressed(request: IncomingMessage, response: ServerResponse): Writable {
  const asked = new URL(request.url ?? '/', 'http://localhost').searchParams.get('enable_http_compression');
  if (asked !== '1' && asked !== 'true') return response;
  const accepted = (request.headers['accept-encoding']?.toString() ?? '')
    .split(',')
    .map(part => part.split(';')[0]?.trim());
  const makers = {
    br: () => createBrotliCompress({ params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
    gzip: () => createGzip({ level: 1 }),
    deflate: () => createDeflate({ level: 1 }),
    zstd: () => createZstdCompress(),
  };
  const encoding = (['zstd', 'gzip', 'br', 'deflate'] as const).find(name => accepted.includes(name));
  if (!encoding) return response;
  response.setHeader('Content-Encoding', encoding);
  const compressor = makers[encoding]();
  compressor.pipe(response);
  return compressor;
}

function summary(response: ServerResponse, counts: Counts): void {
  const fields = {
    read_rows: counts.readRows,
    read_bytes: counts.readBytes,
    written_rows: counts.writtenRows,
    written_bytes: counts.writtenBytes,
    total_rows_to_read: counts.readRows,
    result_rows: counts.writtenRows,
    result_bytes: counts.writtenBytes,
    elapsed_ns: Math.round(counts.elapsed * 1e9),
  };
  const strings = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, String(value)]));
  response.setHeader('X-ClickHouse-Summary', JSON.stringify(strings));
}

/** Sends an error as the server does, or breaks the connection if the response has begun. */
function fail(version: string, response: ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const code = error instanceof EngineError || error instanceof RequestError ? error.code : 1002;
  response.statusCode = error instanceof RequestError ? error.status : (STATUS[code] ?? 500);
  for (const name of ['Content-Encoding', 'X-ClickHouse-Format']) response.removeHeader(name);
  response.setHeader('Content-Type', 'text/plain; charset=UTF-8');
  response.setHeader('X-ClickHouse-Exception-Code', String(code));
  // The rest of the request must not be read as the next request.
  response.setHeader('Connection', 'close');
  response.end(`${text(error, version)}\n`);
}

function text(error: unknown, version: string): string {
  if (error instanceof EngineError) return `${error.message.trimEnd()} (version ${version} (official build))`;
  if (error instanceof RequestError) {
    return `Code: ${error.code}. DB::Exception: ${error.message}. (${error.type}) (version ${version} (official build))`;
  }
  const message = error instanceof Error ? error.message : String(error);
  return `Code: 1002. DB::Exception: ${message}. (UNKNOWN_EXCEPTION) (version ${version} (official build))`;
}

function identifier(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;
}
