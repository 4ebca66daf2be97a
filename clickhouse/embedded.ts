import { once } from 'node:events';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeDirectory } from '../pipeline/directories.ts';
import { sentence } from '../pipeline/sentence.ts';
import { EmbeddedError } from './embedded-error.ts';
import { type Addon, Engine, EngineError, loadAddon } from './engine.ts';
import { createClickHouseServer } from './server.ts';

export interface EmbeddedOptions {
  /** 0: any free port. */
  readonly port: number;
  /** Password that clients must send. If absent, any client that reaches the port may do everything. */
  readonly password?: string;
}

export interface Embedded {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Ends running statements, then flushes the data and releases the directory. */
  close(): Promise<void>;
}

/** Maximum number of concurrent statements; more wait. */
const CONNECTIONS = 8;

/**
 * Runs ClickHouse in this process (npm `chdb`) with its data in `dir`, and serves the HTTP interface on a loopback port, so that clients
 * use it like a server. Only one process may hold a directory. A directory that a killed process left is reused as it is. Throws
 * EmbeddedError.
 */
export async function openEmbedded(dir: string, options: EmbeddedOptions): Promise<Embedded> {
  // Before the directory is made: without the package, none is left behind.
  const addon = loadEngine();
  makeDataDirectory(dir);
  refuseHeld(dir);
  const engine = openEngine(addon, dir);
  const scratch = makeScratch(dir);
  const release = () => {
    rmSync(scratch, { recursive: true, force: true });
    engine.close();
  };
  try {
    const version = await engine.connect(async connection => {
      const { bytes } = await connection.query('SELECT version()', 'TabSeparatedRaw');
      return bytes.toString().trim();
    });
    const server = createClickHouseServer(engine, scratch, version, options.password);
    server.listen(options.port, '127.0.0.1');
    await once(server, 'listening');
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      close: async () => {
        const closed = once(server, 'close');
        server.close();
        server.closeIdleConnections();
        await closed;
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

function makeDataDirectory(dir: string): void {
  try {
    makeDirectory(dir);
  } catch (error) {
    throw new EmbeddedError(`ClickHouse cannot keep its data in ${dir}: ${(error as Error).message}`);
  }
}

function loadEngine(): Addon {
  try {
    return loadAddon();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND') throw error;
    throw new EmbeddedError(
      'ClickHouse in this process needs the npm package chdb (540 MB), which is not installed; install it (npm install chdb@3.4.0, with --global for a global installation of ooni-pipeline), or use a ClickHouse server',
    );
  }
}

function openEngine(addon: Addon, dir: string): Engine {
  try {
    return new Engine(addon, dir, CONNECTIONS);
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new EmbeddedError(
      `ClickHouse cannot open the data in ${dir}: ${sentence(error.message)} Another process may hold them, or they may not be ClickHouse's`,
    );
  }
}

/**
 * Throws EmbeddedError if another process holds the directory. The engine rejects it too, but reports that only on standard error. The
 * process that holds the directory has locked the file `status` there, which contains its number. A killed process leaves the file, but no
 * process has it open.
 */
function refuseHeld(dir: string): void {
  const file = join(dir, 'status');
  const pid = /^PID: (\d+)$/m.exec(textOf(file))?.[1];
  if (pid === undefined || Number(pid) === process.pid || !hasOpen(pid, realpathSync(file))) return;
  throw new EmbeddedError(
    `process ${pid} is using the ClickHouse data in ${dir}, and one process may have them at a time; wait until it has ended, or ask that process`,
  );
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code) return '';
    throw error;
  }
}

/**
 * Returns whether a process has a file open, as far as this process may know. It cannot know this for processes of other users, nor on
 * systems other than Linux.
 */
function hasOpen(pid: string, file: string): boolean {
  const descriptors = `/proc/${pid}/fd`;
  try {
    return readdirSync(descriptors).some(name => {
      try {
        return readlinkSync(join(descriptors, name)) === file;
      } catch {
        return false; // closed in between
      }
    });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code) return false;
    throw error;
  }
}

const SCRATCH = 'ooni-clickhouse-';

/**
 * Creates a directory for the rows of INSERTs in transit, in memory where memory is available as a file system. A link in `dir`, which this
 * process holds by now, names the directory that a killed process left; that one is removed.
 */
function makeScratch(dir: string): string {
  const link = join(dir, 'scratch');
  try {
    const left = readlinkSync(link);
    if (left.startsWith(join(memoryDir(), SCRATCH))) rmSync(left, { recursive: true, force: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  rmSync(link, { force: true });
  const scratch = mkdtempSync(join(memoryDir(), SCRATCH));
  symlinkSync(scratch, link);
  return scratch;
}

/** Returns the folder of a file system in memory, if there is one. */
function memoryDir(): string {
  const found = statSync('/dev/shm', { throwIfNoEntry: false });
  return found?.isDirectory() ? '/dev/shm' : tmpdir();
}
