import { createWriteStream } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { Readable, type Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import { unlz4 } from '../pipeline/archive/lz4.ts';
import { type InsertStatement, parseInsert } from './statement.ts';

/** A request that the interface cannot serve. Becomes the response that a ClickHouse server would send. */
export class RequestError extends Error {
  override name = 'RequestError';
  readonly status: number;
  readonly code: number;
  readonly type: string;

  constructor(status: number, code: number, type: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.type = type;
  }
}

/** A parsed request: the statement to run, with its settings and parameters. */
export interface Statement {
  readonly sql: string;
  /** The INSERT with its rows in `dataFile`, or undefined. */
  readonly insert?: InsertStatement;
  readonly database?: string;
  readonly format: string;
  /** The client needs the status of the whole statement, not of its beginning. */
  readonly whole: boolean;
  readonly settings: Readonly<Record<string, string>>;
  readonly params: Readonly<Record<string, string>>;
  readonly queryId?: string;
}

/** URL parameters of the interface itself. Every other parameter is a setting. */
const OWN = new Set([
  'query',
  'database',
  'default_format',
  'query_id',
  'user',
  'password',
  'role',
  'quota_key',
  'session_id',
  'session_check',
  'session_timeout',
  'client_protocol_version',
  'buffer_size',
  'wait_end_of_query',
  'stacktrace',
  'close_session',
  'compress',
  'decompress',
]);

/** Maximum length of a statement, in bytes; a longer one is rejected. Rows of an INSERT do not count, they go to a file. */
const MAX_STATEMENT = 256 * 1024 * 1024;
/** Length of the head of a body, in bytes. `INSERT … FORMAT name` must end in it for the rest to be read as rows. */
const HEAD = 256 * 1024;

/**
 * Parses a request. Rows of an INSERT are written to `dataFile` as they arrive, so memory does not grow with them. The statement comes from
 * the `query` parameter, from the body, or from both: it may begin in the parameter and end in the body.
 */
export async function readStatement(request: IncomingMessage, url: URL, dataFile: string): Promise<Statement> {
  const query = url.searchParams;
  const header = (name: string) => request.headers[name]?.toString();
  const settings: Record<string, string> = {};
  const params: Record<string, string> = {};
  for (const [name, value] of query) {
    if (name.startsWith('param_')) params[name.slice('param_'.length)] = value;
    else if (!OWN.has(name)) settings[name] = value;
  }
  if (query.get('decompress') === '1' || query.get('compress') === '1') {
    throw new RequestError(
      501,
      48,
      'NOT_IMPLEMENTED',
      'compress and decompress (native blocks) are not offered here; use Accept-Encoding and Content-Encoding with gzip or zstd',
    );
  }
  if (request.method === 'GET') settings.readonly ??= '2';

  let sql = query.get('query') ?? '';
  let insert: InsertStatement | undefined;
  const body = decoded(request);
  if (header('content-type')?.startsWith('multipart/form-data')) {
    sql += await readForm(request, body, params);
  } else {
    insert = parseInsert(sql);
    if (insert) {
      await pipeline(body, createWriteStream(dataFile));
    } else {
      const read = await readBody(body, sql, dataFile);
      sql = read.sql;
      insert = read.insert;
    }
  }
  if (sql.trim() === '') throw new RequestError(400, 62, 'SYNTAX_ERROR', 'Empty query');
  return {
    sql,
    ...(insert && { insert }),
    ...(optional('database', query.get('database') ?? header('x-clickhouse-database')) as { database?: string }),
    ...(optional('queryId', query.get('query_id') ?? undefined) as { queryId?: string }),
    format: query.get('default_format') ?? header('x-clickhouse-format') ?? 'TabSeparated',
    whole: ['1', 'true'].includes(query.get('wait_end_of_query') ?? ''),
    settings,
    params,
  };
}

function optional(key: string, value: string | undefined): Record<string, string> {
  return value ? { [key]: value } : {};
}

/** Reads the body as a statement, or as a statement and rows if it is an INSERT with data. */
async function readBody(
  body: Readable,
  prefix: string,
  dataFile: string,
): Promise<{ sql: string; insert?: InsertStatement }> {
  const iterator = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const chunks: Buffer[] = prefix === '' ? [] : [Buffer.from(`${prefix}\n`)];
  let size = 0;
  let looked = false;
  for (;;) {
    const { done, value } = await iterator.next();
    if (!done) {
      chunks.push(value);
      size += value.length;
    }
    if (!looked && (done || size >= HEAD)) {
      looked = true;
      const head = Buffer.concat(chunks);
      // latin1: an offset in the text is an offset in the bytes, for any bytes.
      const insert = parseInsert(head.toString('latin1', 0, Math.min(head.length, 2 * HEAD)));
      if (insert && insert.dataStart < head.length) {
        const rest = { [Symbol.asyncIterator]: () => iterator };
        await pipeline(Readable.from(joined(head.subarray(insert.dataStart), rest)), createWriteStream(dataFile));
        const sql = head.toString('utf8', 0, insert.dataStart);
        return { sql, insert: parseInsert(sql)! };
      }
    }
    if (done) return { sql: Buffer.concat(chunks).toString('utf8') };
    if (size > MAX_STATEMENT) {
      throw new RequestError(413, 62, 'QUERY_IS_TOO_LARGE', `The statement is longer than ${MAX_STATEMENT} bytes`);
    }
  }
}

async function* joined(first: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield first;
  yield* rest;
}

/** Reads a form, which clients send if the parameters are too long for the URL. Returns its `query` field. */
async function readForm(request: IncomingMessage, body: Readable, params: Record<string, string>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_STATEMENT) throw new RequestError(413, 62, 'QUERY_IS_TOO_LARGE', 'The form is too long');
    chunks.push(chunk);
  }
  const headers = { 'content-type': request.headers['content-type']! };
  const form = await new Response(Buffer.concat(chunks), { headers }).formData();
  let sql = '';
  for (const [name, value] of form) {
    if (typeof value !== 'string') {
      throw new RequestError(501, 48, 'NOT_IMPLEMENTED', `External tables are not offered here (form field ${name})`);
    }
    if (name === 'query') sql += value;
    else if (name.startsWith('param_')) params[name.slice('param_'.length)] = value;
  }
  return sql;
}

/** Returns the body without its Content-Encoding. */
function decoded(request: IncomingMessage): Readable {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  const decoders: Record<string, () => Transform> = {
    gzip: createGunzip,
    'x-gzip': createGunzip,
    deflate: createInflate,
    br: createBrotliDecompress,
    zstd: createZstdDecompress,
  };
  if (encoding === 'identity') return request;
  if (encoding === 'lz4') return Readable.from(unlz4(request), { objectMode: false });
  const decoder = decoders[encoding];
  if (!decoder) {
    throw new RequestError(
      501,
      48,
      'NOT_IMPLEMENTED',
      `Unknown compression method: ${encoding}; gzip, deflate, br, zstd and lz4 are known`,
    );
  }
  const stream = decoder();
  request.on('error', error => stream.destroy(error));
  request.on('aborted', () => stream.destroy(new Error('the client went away')));
  return request.pipe(stream);
}
