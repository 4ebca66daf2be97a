import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouseClient, ClickHouseLogLevel, type ClickHouseSettings, createClient } from '@clickhouse/client';
import { SettingsError } from '../settings.ts';
import { ClickHouseUnavailableError, classify, TableError } from './errors.ts';
import { untilException } from './late-exception.ts';
import { PATIENT, type RetryOptions, retry } from './retry.ts';

/** Where ClickHouse's HTTP interface is, taken apart. The password goes nowhere but into requests. */
export interface ClickHouseLocation {
  /** `http(s)://host:port`, without user and password: may be shown. */
  readonly url: string;
  readonly database: string;
  readonly username: string;
  readonly password: string;
}

const PORTS: Readonly<Record<string, { scheme: 'http' | 'https'; port: string; native: string }>> = {
  'http:': { scheme: 'http', port: '8123', native: '' },
  'https:': { scheme: 'https', port: '8443', native: '' },
  'clickhouse:': { scheme: 'http', port: '8123', native: '9000' },
  'clickhouses:': { scheme: 'https', port: '8443', native: '9440' },
};

/**
 * Reads `clickhouse_url`: `http(s)://user:password@host:port/database`, or the native driver's `clickhouse(s)://` form, whose usual ports
 * (9000, 9440) stand for those of the HTTP interface (8123, 8443). Throws SettingsError, which never shows the value: it may hold
 * a password.
 */
export function parseClickHouseUrl(text: string): ClickHouseLocation {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const kind = url && PORTS[url.protocol];
  if (!url || !kind || !url.hostname) {
    throw new SettingsError(
      `clickhouse_url${url ? ` begins with ${url.protocol}` : ' is no URL'}; write http://user:password@host:8123/database (or https, clickhouse, clickhouses)`,
    );
  }
  // A `/`, `?` or `#` in a password ends the host, and what follows would be shown as part of an address.
  if (`${url.pathname}${url.search}${url.hash}`.includes('@')) {
    throw new SettingsError(
      'clickhouse_url has an @ behind the host; within a password write / as %2F, ? as %3F, # as %23 and @ as %40',
    );
  }
  const path = url.pathname.replace(/^\/+|\/+$/g, '');
  if (path.includes('/')) throw new SettingsError('clickhouse_url: the path is the name of one database');
  // `new URL` drops the standard port of http and https; whoever writes :80 or :443 means a proxy there.
  const written = url.port || /^https?:\/\/(?:[^@/]*@)?(?:\[[^\]]*\]|[^:/]+):(\d+)/.exec(text)?.[1] || '';
  const port = written === '' || written === kind.native ? kind.port : written;
  return {
    url: `${kind.scheme}://${url.hostname}:${port}`,
    database: decoded(path) || 'default',
    username: decoded(url.username) || 'default',
    password: decoded(url.password),
  };
}

/** A part of a URL as text. Throws SettingsError for a `%` that is not followed by two hexadecimal digits. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch (error) {
    if (!(error instanceof URIError)) throw error;
    throw new SettingsError(
      'clickhouse_url has a % that begins no character; within a user or password write it as %25',
    );
  }
}

export interface StatementOptions {
  readonly params?: Readonly<Record<string, unknown>>;
  readonly settings?: ClickHouseSettings;
  readonly signal?: AbortSignal;
}

export interface OpenOptions {
  /** Another database than the URL's; for creating the URL's. */
  readonly database?: string;
  readonly retry?: RetryOptions;
  /** Told of each failure that will be tried again. */
  readonly onRetry?: (error: Error, attempt: number, wait: number) => void;
}

/** Longest a single statement may take, milliseconds: deletes and analyses of a big day take minutes. */
const STATEMENT_TIMEOUT = 30 * 60_000;

/**
 * One ClickHouse, over HTTP. Statements that fail for a transient reason are tried again with jittered, growing waits; so each statement given
 * here must be one that may run twice. All errors are TableErrors.
 */
export class ClickHouse {
  /** Host and database, for logs and messages; holds no credentials. */
  readonly name: string;
  readonly database: string;
  /** Name of the cluster for `ON CLUSTER`, or empty. */
  readonly cluster: string;
  readonly #client: ClickHouseClient;
  readonly #retry: RetryOptions;

  constructor(location: ClickHouseLocation, cluster: string, options: OpenOptions = {}) {
    this.database = options.database ?? location.database;
    this.cluster = cluster;
    this.name = `${location.url}/${this.database}`;
    this.#retry = { ...PATIENT, ...options.retry, ...(options.onRetry && { onRetry: options.onRetry }) };
    this.#client = createClient({
      url: location.url,
      username: location.username,
      password: location.password,
      database: this.database,
      application: 'ooni-pipeline',
      request_timeout: STATEMENT_TIMEOUT,
      max_open_connections: 8,
      // Every failure comes back as an error, and whoever catches it says what it means.
      log: { level: ClickHouseLogLevel.OFF },
      clickhouse_settings: {
        // An answer means the rows are in: nothing waits in the server's memory (the default since 26.x is 1).
        async_insert: 0,
        // An error comes as a status, not in the middle of an answer that began well.
        wait_end_of_query: 1,
        // A delete returns when every replica has done it: what reads after it sees it.
        lightweight_deletes_sync: '2',
        mutations_sync: '2',
        // Something between us and the server may cut a connection on which nothing moves while a delete works.
        send_progress_in_http_headers: 1,
        http_headers_progress_interval_ms: '50000',
        date_time_input_format: 'best_effort',
        // JSON numbers beyond 2^53 would lose digits; none of ours is, and text would have to be parsed everywhere.
        output_format_json_quote_64bit_integers: 0,
      },
    });
  }

  /** Runs a statement without rows to return. */
  async command(sql: string, options: StatementOptions = {}): Promise<void> {
    await this.#attempt(options.signal, () =>
      this.#client.command({
        query: sql,
        query_params: options.params,
        clickhouse_settings: options.settings,
        abort_signal: options.signal,
      }),
    );
  }

  /**
   * Deletes rows: `DELETE FROM target WHERE condition`; `target` is a table, with a partition where there is one. Returns false when a replica is
   * away: every other one has done it, and that one will when it is back.
   *
   * The server keeps a mutation until it is done, so the statement is sent again only when its mutation is not there: after a lost answer the
   * mutation is waited for. One that fails would be tried for ever and keep later ones of its partition waiting: it is killed,
   * and its error is thrown.
   */
  async mutate(target: string, condition: string, options: StatementOptions = {}): Promise<boolean> {
    // In the text of the mutation, by which it is found again.
    const mark = `mutation ${randomUUID()}`;
    return this.#attempt(options.signal, async () => {
      try {
        await this.#client.command({
          query: `DELETE FROM ${target} WHERE (${condition}) AND ${quote(mark)} != ''`,
          query_params: options.params,
          clickhouse_settings: options.settings,
          abort_signal: options.signal,
        });
        return true;
      } catch (error) {
        options.signal?.throwIfAborted();
        const known = classify(error);
        if (!(known instanceof TableError) || !known.transient) throw error;
        return await this.#mutationEnded(target, mark, known, options.signal);
      }
    });
  }

  /** Waits for a mutation that may have been queued before `error` came. Throws `error` when it was not. */
  async #mutationEnded(target: string, mark: string, error: TableError, signal?: AbortSignal): Promise<boolean> {
    for (;;) {
      const [mutation] = await this.select<{ id: string; done: number; failure: string }>(
        `SELECT mutation_id AS id, is_done AS done, latest_fail_reason AS failure FROM system.mutations
         WHERE database = currentDatabase() AND position(command, {mark:String}) > 0`,
        { params: { mark }, signal },
      );
      if (!mutation) {
        if (error.code === UNFINISHED) return false;
        throw error;
      }
      if (mutation.done) return error.code !== UNFINISHED;
      if (mutation.failure !== '') {
        await this.command(
          `KILL MUTATION WHERE database = currentDatabase() AND mutation_id = ${quote(mutation.id)} AND position(command, ${quote(mark)}) > 0`,
          { signal },
        );
        throw new ClickHouseUnavailableError(`ClickHouse cannot delete from ${target}: ${mutation.failure}`);
      }
      await sleep(MUTATION_POLL, undefined, { signal });
    }
  }

  /**
   * Runs a statement that must not run twice, once. With a `queryId`, an earlier statement of this id that is still running on the server, because
   * its client has died or lost patience, is stopped first.
   */
  async commandOnce(sql: string, options: StatementOptions & { readonly queryId?: string } = {}): Promise<void> {
    options.signal?.throwIfAborted();
    try {
      await this.#client.command({
        query: sql,
        query_params: options.params,
        clickhouse_settings: {
          ...unrepeated(),
          ...options.settings,
          ...(options.queryId && { replace_running_query: 1 }),
        },
        abort_signal: options.signal,
        ...(options.queryId && { query_id: options.queryId }),
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      throw classify(error);
    }
  }

  /** Rows of a SELECT, as objects. 64-bit integers come as numbers. */
  async select<Row>(sql: string, options: StatementOptions = {}): Promise<Row[]> {
    return this.#attempt(options.signal, async () => {
      const result = await this.#client.query({
        query: sql,
        format: 'JSONEachRow',
        query_params: options.params,
        clickhouse_settings: options.settings,
        abort_signal: options.signal,
      });
      return result.json<Row>();
    });
  }

  /**
   * Runs a statement of any kind, once, and gives its output as it comes, in the format that the statement names or else in `format`, with
   * the name of that format. Leaving the loop over `bytes` early ends a statement that only reads. An error behind the first rows is
   * thrown by the loop.
   */
  async output(
    sql: string,
    format: string,
    options: StatementOptions = {},
  ): Promise<{ readonly format: string; readonly bytes: AsyncIterable<Buffer> }> {
    options.signal?.throwIfAborted();
    try {
      const { stream, response_headers: headers } = await this.#client.exec({
        query: sql,
        query_params: options.params,
        // A parameter of the interface, sent as settings are.
        clickhouse_settings: {
          wait_end_of_query: 0,
          cancel_http_readonly_queries_on_client_close: 1,
          ...options.settings,
          default_format: format,
        } as ClickHouseSettings,
        abort_signal: options.signal,
      });
      const tag = headers['x-clickhouse-exception-tag']?.toString();
      return { format: String(headers['x-clickhouse-format'] ?? format), bytes: untilException(stream, tag) };
    } catch (error) {
      options.signal?.throwIfAborted();
      throw classify(error);
    }
  }

  /** Inserts objects, which name their columns. For small numbers of rows. */
  async insert(table: string, rows: readonly object[], options: StatementOptions = {}): Promise<void> {
    if (rows.length === 0) return;
    await this.#attempt(options.signal, () =>
      this.#client.insert({
        table,
        values: [...rows],
        format: 'JSONEachRow',
        clickhouse_settings: { ...unrepeated(), ...options.settings },
        abort_signal: options.signal,
      }),
    );
  }

  /**
   * Sends `bytes` behind an `INSERT ... FORMAT x` statement, once: an INSERT may run twice only if whoever asks for it says so, and the
   * inserter does (see inserter.ts).
   */
  async insertBytes(sql: string, bytes: readonly Uint8Array[], options: StatementOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    try {
      const { stream } = await this.#client.exec({
        query: sql,
        values: Readable.from(bytes, { objectMode: false }),
        clickhouse_settings: { ...unrepeated(), ...options.settings },
        abort_signal: options.signal,
      });
      await discard(stream);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw classify(error);
    }
  }

  /** Resolves when the server takes statements from this user on this database; otherwise throws why not, without trying again. */
  async probe(signal?: AbortSignal): Promise<void> {
    const deadline = AbortSignal.timeout(5000);
    try {
      await this.#client.command({
        query: 'SELECT 1',
        abort_signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (deadline.aborted)
        throw new ClickHouseUnavailableError(`ClickHouse at ${this.name} does not answer within 5 s`);
      throw classify(error);
    }
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #attempt<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    return retry(
      async () => {
        try {
          return await work();
        } catch (error) {
          signal?.throwIfAborted();
          throw classify(error);
        }
      },
      { ...this.#retry, signal },
    );
  }
}

/** ClickHouse's error when a mutation is waited for and a replica is not there (src/Common/ErrorCodes.cpp). */
const UNFINISHED = 341;
/** How often a queued mutation is looked at, milliseconds. */
const MUTATION_POLL = 500;

/**
 * Settings of an INSERT by which ClickHouse never takes its blocks for a repetition. Replicated tables drop a block that equals an earlier
 * one, for an hour, and do not say so: rows that are deleted and inserted again would be lost. A token that no other INSERT has
 * works on all versions; `insert_deduplicate` alone is overridden by `deduplicate_insert` since 26.x.
 */
function unrepeated(): ClickHouseSettings {
  return { insert_deduplicate: 0, insert_deduplication_token: randomUUID() };
}

/** Opens the ClickHouse of the settings. No connection is made before the first statement. Throws SettingsError. */
export function openClickHouse(
  settings: { readonly clickhouse_url: string; readonly clickhouse_cluster?: string },
  options: OpenOptions = {},
): ClickHouse {
  return new ClickHouse(parseClickHouseUrl(settings.clickhouse_url), settings.clickhouse_cluster ?? '', options);
}

/** An answer has to be read to its end before its connection can be used again. */
async function discard(stream: Readable): Promise<void> {
  for await (const _ of stream);
}

/** A text as a literal of SQL. */
export function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** A name as an identifier of SQL. */
export function identifier(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;
}
