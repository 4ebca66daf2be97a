import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeDirectory } from '../pipeline/directories.ts';
import { freePort } from '../pipeline/free-port.ts';
import { parseClickHouseUrl } from '../pipeline/tables/clickhouse-url.ts';
import { findOnPath, StartError, type Supervised, supervise } from './process.ts';

export interface ClickHouseServer {
  readonly url: string;
  /** Description of the server, for messages. */
  readonly source: string;
  /** The process, if this process started it. */
  readonly process?: Supervised;
  stop(): Promise<void>;
}

/**
 * Starts or finds a ClickHouse server: the one at CLICKHOUSE_URL, or a `clickhouse` program from PATH, or the engine of npm's chdb with the
 * HTTP interface. Data in `dir` is kept after the stop; without `dir`, it is deleted. Throws StartError if the server does not start.
 */
export async function startClickHouse(
  options: { dir?: string; port?: number; signal?: AbortSignal } = {},
): Promise<ClickHouseServer> {
  const given = process.env.CLICKHOUSE_URL;
  if (given) {
    const url = new URL(parseClickHouseUrl(given).url);
    if (!(await answers(new URL('/ping', url)))) {
      throw new StartError(
        `CLICKHOUSE_URL names ${url.host}, where no ClickHouse answers. Start it, or unset CLICKHOUSE_URL.`,
      );
    }
    return { url: given, source: `CLICKHOUSE_URL (${url.host})`, stop: async () => {} };
  }
  const dir = resolve(options.dir ?? mkdtempSync(join(tmpdir(), 'ooni-clickhouse-')));
  const port = options.port ?? (await freePort());
  const program = findOnPath('clickhouse');
  const server = program ? await startProgram(program, dir, port, options.signal) : await startEmbedded(dir, port);
  return {
    ...server,
    stop: async () => {
      await server.process.stop();
      if (!options.dir) rmSync(dir, { recursive: true, force: true });
    },
  };
}

type Started = Omit<ClickHouseServer, 'stop'> & { process: Supervised };

async function startEmbedded(dir: string, port: number): Promise<Started> {
  const server = await supervise({
    name: 'clickhouse',
    command: process.execPath,
    args: [fileURLToPath(new URL('../clickhouse/main.ts', import.meta.url)), join(dir, 'chdb'), String(port)],
    // Statements run on the threads of libuv's pool. With the default of four, the fifth statement would also wait for their disk reads.
    env: { UV_THREADPOOL_SIZE: '16', NODE_OPTIONS: '' },
    dir,
    ipc: true,
  });
  const answer = new Promise<{ url?: string; error?: string }>(resolve =>
    server.child.once('message', resolve as never),
  );
  const ended = server.exited.then(how => ({ url: undefined, error: `it ${how}:\n${server.tail()}` }));
  const { url, error } = await Promise.race([answer, ended]);
  if (!url) {
    await server.stop();
    throw new StartError(`ClickHouse did not start on ${dir}: ${error}`);
  }
  return { url, source: 'ClickHouse in a separate process (npm chdb)', process: server };
}

async function startProgram(program: string, dir: string, port: number, signal?: AbortSignal): Promise<Started> {
  makeDirectory(dir);
  const config = join(dir, 'config.yaml');
  const users = {
    users: { default: { password: '', networks: { ip: '127.0.0.1' }, profile: 'default', quota: 'default' } },
    profiles: { default: {} },
    quotas: { default: {} },
  };
  writeFileSync(
    config,
    JSON.stringify({
      logger: { level: 'warning', console: true },
      http_port: port,
      listen_host: '127.0.0.1',
      path: join(dir, 'server/'),
      tmp_path: join(dir, 'server/tmp/'),
      mark_cache_size: 268435456,
      user_directories: { users_xml: { path: config } },
      ...users,
    }),
  );
  const server = await supervise({
    name: 'clickhouse',
    command: program,
    args: ['server', `--config-file=${config}`],
    dir,
  });
  const url = `http://127.0.0.1:${port}`;
  await server.waitFor(() => answers(new URL('/ping', url)), 60_000, signal);
  return { url, source: program, process: server };
}

async function answers(ping: URL): Promise<boolean> {
  const url = new URL(ping);
  url.username = '';
  url.password = '';
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(3000) });
    return response.ok;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
}
