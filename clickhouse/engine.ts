import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** What the engine reports of a statement that has ended. */
export interface Counts {
  /** Seconds the statement took. */
  readonly elapsed: number;
  readonly readRows: number;
  readonly readBytes: number;
  readonly writtenRows: number;
  readonly writtenBytes: number;
}

/** An error of the engine. `code` is ClickHouse's number; the message is the server's, from `Code: 60. DB::Exception: …` on. */
export class EngineError extends Error {
  override name = 'EngineError';
  readonly code: number;

  constructor(message: string) {
    super(message);
    this.code = Number(/^Code: (\d+)\./.exec(message)?.[1] ?? 1002);
  }
}

/** The part of chdb's native addon that is used here; its public classes keep neither written rows nor raw insert results. */
interface Addon {
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
 * What the engine is started with. Its own two background threads are busy with a DELETE that touches more parts of a table than that, and look
 * for work again only after ten seconds; a server has 16.
 */
const ARGUMENTS = ['clickhouse', '--background_pool_size=16'];

/**
 * ClickHouse in this process (npm `chdb`) on one data directory. Each connection has settings, parameters and a database of
 * its own and runs one statement at a time; connections run side by side and cost a fraction of a millisecond to open.
 */
export class Engine {
  readonly #addon: Addon;
  readonly #dir: string;
  /** Holds the data directory open between requests; the engine shuts down with its last connection. */
  readonly #anchor: object;
  readonly #free: (() => void)[] = [];
  #open: number;

  /**
   * @param dir data directory; one process may hold it
   * @param connections statements that may run at a time; more wait in order of arrival
   * @throws EngineError when the directory is held by another process or cannot be read
   */
  constructor(dir: string, connections: number) {
    const require = createRequire(import.meta.url);
    this.#addon = require(join(dirname(require.resolve('chdb')), 'dist/loader.js')).loadNative() as Addon;
    this.#dir = dir;
    this.#open = connections;
    try {
      this.#anchor = this.#addon.CreateConnection(dir, ARGUMENTS);
    } catch (error) {
      throw new EngineError((error as Error).message);
    }
  }

  /** Runs `work` on a connection of its own, when one is free, and closes it behind. */
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

  /** Flushes and releases the data directory. No connection may be in use any more. */
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

  /** Runs a statement and returns its whole output in `format`, unless the statement names another. Throws EngineError. */
  async query(sql: string, format: string): Promise<{ bytes: Buffer; counts: Counts }> {
    const result = await this.#call(this.#addon.QueryAsyncConnection(this.#handle, sql, format));
    const { bytes, elapsed, rowsRead, bytesRead } = result;
    return { bytes, counts: { elapsed, readRows: rowsRead, readBytes: bytesRead, writtenRows: 0, writtenBytes: 0 } };
  }

  /** Runs an INSERT of any form and returns what it wrote. Throws EngineError. */
  async insert(sql: string): Promise<Counts> {
    const written = await this.#call(this.#addon.InsertRawAsyncConnection(this.#handle, sql, NOTHING, false));
    const { elapsed, rowsWritten: writtenRows, bytesWritten: writtenBytes } = written;
    return { elapsed, readRows: writtenRows, readBytes: writtenBytes, writtenRows, writtenBytes };
  }

  /** Runs a SELECT and yields its output block by block, each formatted on its own. Stops the query when left early. */
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

/** An error in inserted data comes wrapped with the name of the file that carried the body; a server does not have that. */
function innerMessage(message: string): string {
  const wrapped =
    /^Code: \d+\. DB::Exception: (Code: \d+\. .*): data for INSERT was parsed from file\. \((\w+)\).*$/s.exec(message);
  const inner = wrapped ? `${wrapped[1]}: data for INSERT was parsed from query. (${wrapped[2]})` : message;
  return inner.replace(/: \(in file\/uri [^)]*\)/, '');
}
