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
import { Engine, EngineError } from './engine.ts';
import { createClickHouseServer } from './server.ts';

/** ClickHouse cannot run in this process on that directory; the message says why and what to do. */
export class EmbeddedError extends Error {
  override name = 'EmbeddedError';
}

export interface EmbeddedOptions {
  /** 0: any that is free. */
  readonly port: number;
  /** What clients must give; absent: whoever reaches the port may do everything. */
  readonly password?: string;
}

export interface Embedded {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  /** Ends statements at work, then flushes and releases the directory. */
  close(): Promise<void>;
}

/** Statements at a time; more wait. */
const CONNECTIONS = 8;

/**
 * ClickHouse in this process (npm `chdb`) with its data in `dir`, behind the HTTP interface on a loopback port, so that everything
 * talks to it as to a server. One process may hold a directory; one left by a process that was killed is taken over as it
 * is. Throws EmbeddedError.
 */
export async function openEmbedded(dir: string, options: EmbeddedOptions): Promise<Embedded> {
  makeDataDirectory(dir);
  refuseHeld(dir);
  const engine = openEngine(dir);
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

function openEngine(dir: string): Engine {
  try {
    return new Engine(dir, CONNECTIONS);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND') {
      throw new EmbeddedError(
        'ClickHouse in this process needs the npm package chdb (540 MB), which is not installed; install it (npm install chdb), or use a ClickHouse server',
      );
    }
    if (!(error instanceof EngineError)) throw error;
    throw new EmbeddedError(
      `ClickHouse cannot open the data in ${dir}: ${error.message}. Another process may hold them, or they may not be ClickHouse's`,
    );
  }
}

/**
 * The engine refuses a directory that another process holds, but only says so on standard error. Whoever holds it has locked its
 * file `status`, which names the process; a process that was killed leaves the file, and nobody has it open.
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

/** Whether a process has a file open, as far as this one may know: another user's files, and other systems than Linux, do not tell. */
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
 * A directory, in memory where that is a file system, in which the rows of an INSERT lie on their way in. A link in `dir`, which
 * this process holds by now, tells of the one that a killed process left.
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

/** Memory as a file system where there is one. */
function memoryDir(): string {
  const found = statSync('/dev/shm', { throwIfNoEntry: false });
  return found?.isDirectory() ? '/dev/shm' : tmpdir();
}
