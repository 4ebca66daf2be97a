import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** Counts that the engine reports for a finished statement. */
export interface Counts {
  /** Duration of the statement in seconds. */
  readonly elapsed: number;
  readonly readRows: number;
  readonly readBytes: number;
  readonly writtenRows: number;
  readonly writtenBytes: number;
}

/** An error of the engine. `code` is ClickHouse's number. The message is the server's, from `Code: 60. DB::Exception: …` on. */
export class EngineError extends Error {
  override name = 'EngineError';
  readonly code: number;

  constructor(message: string) {
    super(message);
    this.code = Number(/^Code: (\d+)\./.exec(message)?.[1] ?? 1002);
  }
}

/** The part of chdb's native addon in use here. chdb's public classes return neither the number of written rows nor raw insert results. */
export interface Addon {
  CreateConnection(dir: string, args?: readonly string[]): object;
  CloseConnection(connection: object): void;
  QueryAsyncConnection(connection: object, sql: string, format: string): Promise<Result>;
  InsertRawAsyncConnection(connection: object, sql: string, data: Buffer, countLines: boolean): Promise<Written>;
  StreamQuery(connection: object, sql: string, format: string): object;
  StreamFetch(stream: object): Promise<{ done: boolean; bytes: Buffer; numRows: number }>;
  StreamCancel(stream: object): void;
}
interface Result {
  readonly bytes: Buffer;
  readonly elapsed: number;
  readonly rowsRead: number;
  readonly bytesRead: number;
}
interface Written {
  readonly elapsed: number;
  readonly rowsWritten: number;
  readonly bytesWritten: number;
}

const NOTHING = Buffer.alloc(0);

/**
 * Arguments of the engine. A DELETE that touches more parts of a table than there are background threads keeps them all busy, and they look
 * for work again only after ten seconds. The engine's default is two threads; a server has 16.
 */
const ARGUMENTS = ['clickhouse', '--background_pool_size=16'];

/** Loads the engine. Throws an error with the code MODULE_NOT_FOUND when npm's chdb is not installed. */
export function loadAddon(): Addon {
  const require = createRequire(import.meta.url);
  return require(join(dirname(require.resolve('chdb')), 'dist/loader.js')).loadNative() as Addon;
}

/**
 * Runs ClickHouse in this process (npm `chdb`) on one data directory. Each connection has its own settings, parameters and database, and
 * runs one statement at a time. Connections run in parallel and take a fraction of a millisecond to open.
 */
export class Engine {
  readonly #addon: Addon;
  readonly #dir: string;
  /** Holds the data directory open between requests. The engine shuts down with its last connection. */
  readonly #anchor: object;
  readonly #free: (() => void)[] = [];
  #open: number;

  /**
   * @param dir data directory; only one process may hold it
   * @param connections maximum number of concurrent statements; more wait in order of arrival
   * @throws EngineError if another process holds the directory, or the directory cannot be read
   */
  constructor(addon: Addon, dir: string, connections: number) {
    this.#addon = addon;
    this.#dir = dir;
    this.#open = connections;
    try {
      this.#anchor = this.#addon.CreateConnection(dir, ARGUMENTS);
    } catch (error) {
      throw new EngineError((error as Error).message);
    }
  }

  /** Runs `work` on a new connection as soon as one is free, then closes the connection. */
  async connect<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    if (this.#open === 0) await new Promise<void>(resolve => this.#free.push(resolve));
    else this.#open--;
    try {
      const handle = this.#addon.CreateConnection(this.#dir);
      try {
        return await work(new Connection(this.#addon, handle));
      } finally {
        this.#addon.CloseConnection(handle);
      }
    } finally {
      const next = this.#free.shift();
      if (next) next();
      else this.#open++;
    }
  }

  /** Flushes and releases the data directory. No connection may be in use. */
  close(): void {
    this.#addon.CloseConnection(this.#anchor);
  }
}

/** One session with the engine. */
export class Connection {
  readonly #addon: Addon;
  readonly #handle: object;

  constructor(addon: Addon, handle: object) {
    this.#addon = addon;
    this.#handle = handle;
  }

  /** Runs a statement and returns its whole output in `format`, unless the statement names another format. Throws EngineError. */
  async query(sql: string, format: string): Promise<{ bytes: Buffer; counts: Counts }> {
    const result = await this.#call(this.#addon.QueryAsyncConnection(this.#handle, sql, format));
    const { bytes, elapsed, rowsRead, bytesRead } = result;
    return { bytes, counts: { elapsed, readRows: rowsRead, readBytes: bytesRead, writtenRows: 0, writtenBytes: 0 } };
  }

  /** Runs an INSERT of any form and returns the counts of what it wrote. Throws EngineError. */
  async insert(sql: string): Promise<Counts> {
    const written = await this.#call(this.#addon.InsertRawAsyncConnection(this.#handle, sql, NOTHING, false));
    const { elapsed, rowsWritten: writtenRows, bytesWritten: writtenBytes } = written;
    return { elapsed, readRows: writtenRows, readBytes: writtenBytes, writtenRows, writtenBytes };
  }

  /** Runs a SELECT and yields its output block by block. Each block is formatted separately. If the caller stops early, the query stops. */
  async *stream(sql: string, format: string): AsyncGenerator<Buffer, void> {
    let stream: object;
    try {
      stream = this.#addon.StreamQuery(this.#handle, sql, format);
    } catch (error) {
      throw new EngineError((error as Error).message);
    }
    try {
      for (;;) {
        const block = await this.#call(this.#addon.StreamFetch(stream));
        if (block.done) return;
        yield block.bytes;
      }
    } finally {
      this.#addon.StreamCancel(stream);
    }
  }

  async #call<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      throw new EngineError(innerMessage((error as Error).message));
    }
  }
}

/** Removes the outer message from an error in inserted data. It names the file that carried the body, which a server does not have. */
function innerMessage(message: string): string {
  const wrapped =
    /^Code: \d+\. DB::Exception: (Code: \d+\. .*): data for INSERT was parsed from file\. \((\w+)\).*$/s.exec(message);
  const inner = wrapped ? `${wrapped[1]}: data for INSERT was parsed from query. (${wrapped[2]})` : message;
  return inner.replace(/: \(in file\/uri [^)]*\)/, '');
}
