import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type ClickHouseClient, ClickHouseLogLevel, type ClickHouseSettings, createClient } from '@clickhouse/client';
import { currentTraceParent } from '../telemetry/spans.ts';
import { currentWork } from '../telemetry/work-context.ts';
import { type ClickHouseLocation, parseClickHouseUrl } from './clickhouse-url.ts';
import { ClickHouseUnavailableError, classify, TableError } from './errors.ts';
import { untilException } from './late-exception.ts';
import { LONG_RETRY, type RetryOptions, retry } from './retry.ts';

export interface StatementOptions {
  readonly params?: Readonly<Record<string, unknown>>;
  readonly settings?: ClickHouseSettings;
  readonly signal?: AbortSignal;
}

export interface OpenOptions {
  /** Database to use instead of the URL's, for creating the URL's database. */
  readonly database?: string;
  readonly retry?: RetryOptions;
  /** Maximum duration of a statement in milliseconds, instead of that of an analysis. */
  readonly timeout?: number;
  /** Called for each failure that will be retried. */
  readonly onRetry?: (error: Error, attempt: number, wait: number) => void;
}

/** Timeout of a statement, milliseconds. Deletes and analyses of a big day take minutes. */
const STATEMENT_TIMEOUT = 30 * 60_000;

/**
 * One ClickHouse server, over HTTP. Statements that fail for a transient reason are retried with jittered, growing waits, so each of them must
 * be safe to run twice, except where a method says that it runs a statement once. All errors are TableErrors.
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
    this.#retry = { ...LONG_RETRY, ...options.retry, ...(options.onRetry && { onRetry: options.onRetry }) };
    this.#client = createClient({
      url: location.url,
      username: location.username,
      password: location.password,
      database: this.database,
      application: 'ooni-pipeline',
      request_timeout: options.timeout ?? STATEMENT_TIMEOUT,
      max_open_connections: 8,
      // Every failure is thrown as an error, and the caller reports it.
      log: { level: ClickHouseLogLevel.OFF },
      clickhouse_settings: {
        // The answer means that the rows are stored. With 1, the default since 26.x, they may still wait in the server's memory.
        async_insert: 0,
        // An error is reported as a status, not in the middle of an answer that began without an error.
        wait_end_of_query: 1,
        // A delete returns after every replica has done it, so later reads see it.
        lightweight_deletes_sync: '2',
        mutations_sync: '2',
        // A proxy may close a connection without traffic while a delete is running.
        send_progress_in_http_headers: 1,
        http_headers_progress_interval_ms: '50000',
        date_time_input_format: 'best_effort',
        // JSON numbers beyond 2^53 lose digits. The pipeline has none, and quoted numbers would have to be parsed everywhere.
        output_format_json_quote_64bit_integers: 0,
      },
    });
  }

  /** Runs a statement that returns no rows. */
  async command(sql: string, options: StatementOptions = {}): Promise<void> {
    await this.#attempt(options.signal, () =>
      this.#client.command({
        query: sql,
        query_params: options.params,
        clickhouse_settings: { ...comment(), ...options.settings },
        abort_signal: options.signal,
      }),
    );
  }

  /**
   * Deletes rows: `DELETE FROM target WHERE condition`. `target` is a table, with a partition if the table has partitions. Returns false when a
   * replica is inactive: all other replicas have deleted the rows, and the inactive one deletes them when it is back.
   *
   * The server keeps a mutation until it is done, so the statement is sent again only if the server does not have its mutation. After a lost
   * answer, this waits for the mutation. The server would retry a failing mutation for ever, and later mutations of its partition would
   * wait, so a failing mutation is killed and its error thrown.
   */
  async mutate(target: string, condition: string, options: StatementOptions = {}): Promise<boolean> {
    // The text of the mutation contains the mark, which identifies the mutation.
    const mark = `mutation ${randomUUID()}`;
    return this.#attempt(options.signal, async () => {
      try {
        await this.#client.command({
          query: `DELETE FROM ${target} WHERE (${condition}) AND ${quote(mark)} != ''`,
          query_params: options.params,
          clickhouse_settings: { ...comment(), ...options.settings },
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

  /** Waits for a mutation that may have been queued before `error` occurred. Throws `error` if it was not queued. */
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
   * Runs a statement once, for statements that must not run twice. With a `queryId`, it first stops an earlier statement with this id that is
   * still running on the server because its client has died or timed out.
   */
  async commandOnce(sql: string, options: StatementOptions & { readonly queryId?: string } = {}): Promise<void> {
    options.signal?.throwIfAborted();
    try {
      await this.#client.command({
        query: sql,
        query_params: options.params,
        clickhouse_settings: {
          ...comment(),
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

  /** Returns the rows of a SELECT as objects. 64-bit integers are numbers. */
  async select<Row>(sql: string, options: StatementOptions = {}): Promise<Row[]> {
    return this.#attempt(options.signal, async () => {
      const result = await this.#client.query({
        query: sql,
        format: 'JSONEachRow',
        query_params: options.params,
        clickhouse_settings: { ...comment(), ...options.settings },
        abort_signal: options.signal,
      });
      return result.json<Row>();
    });
  }

  /**
   * Runs a statement of any kind once and returns its output as a stream, with the name of its format. The format is the one that the statement
   * names, or else `format`. Leaving the loop over `bytes` early ends a statement that only reads. The loop throws an error that occurs after
   * the first rows.
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
        // `default_format` is a parameter of the HTTP interface. It is sent in the same way as settings.
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

  /** Inserts objects, whose keys are column names. For small numbers of rows. */
  async insert(table: string, rows: readonly object[], options: StatementOptions = {}): Promise<void> {
    if (rows.length === 0) return;
    await this.#attempt(options.signal, () =>
      this.#client.insert({
        table,
        values: [...rows],
        format: 'JSONEachRow',
        clickhouse_settings: { ...comment(), ...unrepeated(), ...options.settings },
        abort_signal: options.signal,
      }),
    );
  }

  /**
   * Sends `bytes` after an `INSERT ... FORMAT x` statement, once. Only the caller knows whether its INSERT may run twice; the inserter retries
   * it (inserter.ts).
   */
  async insertBytes(sql: string, bytes: readonly Uint8Array[], options: StatementOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    try {
      const { stream } = await this.#client.exec({
        query: sql,
        values: Readable.from(bytes, { objectMode: false }),
        clickhouse_settings: { ...comment(), ...unrepeated(), ...options.settings },
        abort_signal: options.signal,
      });
      await discard(stream);
    } catch (error) {
      options.signal?.throwIfAborted();
      throw classify(error);
    }
  }

  /** Resolves if the server accepts statements from this user on this database. Otherwise throws the reason, without a retry. */
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

/** ClickHouse's error code when a replica is inactive during the wait for a mutation (src/Common/ErrorCodes.cpp). */
const UNFINISHED = 341;
/** Interval between checks of a queued mutation, milliseconds. */
const MUTATION_POLL = 500;

/**
 * Returns the settings of an INSERT that prevent ClickHouse from treating its blocks as duplicates. Replicated tables silently drop a block
 * that equals an earlier one, for an hour, so rows that are deleted and inserted again would be lost. A unique token works on all versions;
 * `insert_deduplicate` alone is overridden by `deduplicate_insert` since 26.x.
 */
function unrepeated(): ClickHouseSettings {
  return { insert_deduplicate: 0, insert_deduplication_token: randomUUID() };
}

/**
 * Returns the setting that puts the part of the run into ClickHouse's query log (system.query_log, column log_comment), as JSON with the
 * fields of WorkContext and the trace id.
 */
function comment(): ClickHouseSettings {
  const work = currentWork();
  const trace = currentTraceParent()?.split('-')[1];
  if (!work && !trace) return {};
  return { log_comment: JSON.stringify({ ...work, ...(trace && { trace }) }) };
}

/** Opens the ClickHouse of the settings. It connects at the first statement. Throws SettingsError. */
export function openClickHouse(
  settings: { readonly clickhouse_url: string; readonly clickhouse_cluster?: string },
  options: OpenOptions = {},
): ClickHouse {
  return new ClickHouse(parseClickHouseUrl(settings.clickhouse_url), settings.clickhouse_cluster ?? '', options);
}

/** Reads an answer to its end, so that its connection can be used again. */
async function discard(stream: Readable): Promise<void> {
  for await (const _ of stream);
}

/** Returns a text as an SQL literal. */
export function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** Returns a name as an SQL identifier. */
export function identifier(name: string): string {
  return `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``;
}
