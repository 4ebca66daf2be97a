import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { makeDirectory } from '../pipeline/directories.ts';
import { StartError, type Supervised, supervise } from './process.ts';

const SOURCES = join(import.meta.dirname, '../superset');
const run = promisify(execFile);

/** Maximum time of superset/provision.py, milliseconds. It takes one minute on two cores. */
const PROVISION_TIMEOUT = 30 * 60_000;

export interface SupersetServer {
  readonly url: string;
  readonly username: string;
  readonly password: string;
  readonly process: Supervised;
  stop(): Promise<void>;
}

export interface SupersetOptions {
  /** Python of the environment that `obtainSuperset` has installed. */
  readonly python: string;
  /** Folder of users, dashboards and logs. */
  readonly dir: string;
  readonly port: number;
  /** URL of ClickHouse in the form of the setting `clickhouse_url`. */
  readonly clickhouseUrl: string;
  /** Called before each step, with its description. */
  readonly onStep?: (step: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Starts Superset with the dashboards of this project against a running ClickHouse. The dashboards are imported at each start; those that
 * users have made stay. The password of the administrator is made at the first start, or SUPERSET_ADMIN_PASSWORD gives it. Throws
 * StartError with the end of a log if Superset does not start.
 */
export async function startSuperset(options: SupersetOptions): Promise<SupersetServer> {
  const { python, dir, port, clickhouseUrl, onStep = () => {}, signal } = options;
  makeDirectory(dir);
  const password = process.env.SUPERSET_ADMIN_PASSWORD || kept(join(dir, 'admin-password'), 12);
  const env = {
    SUPERSET_HOME: dir,
    SUPERSET_SECRET_KEY: kept(join(dir, 'secret-key'), 42),
    SUPERSET_ADMIN_PASSWORD: password,
    CLICKHOUSE_URL: clickhouseUrl,
    // The measurements of the repository are years old, and few.
    SUPERSET_TIME_RANGE: process.env.SUPERSET_TIME_RANGE ?? 'No filter',
    SUPERSET_TIME_GRAIN: process.env.SUPERSET_TIME_GRAIN ?? 'P1M',
    // A person who watches a backfill sees its rows at once.
    SUPERSET_CACHE_SECONDS: '5',
    // A machine that also runs a backfill may be slow.
    SUPERSET_TIMEOUT: '300',
    PYTHONPATH: SOURCES,
    PYTHONUNBUFFERED: '1',
    // No file of the repository is changed by a start.
    PYTHONDONTWRITEBYTECODE: '1',
  };
  onStep('tables, roles and dashboards');
  await provision(python, dir, env, signal);
  onStep('web server');
  const server = await supervise({
    name: 'superset',
    command: python,
    args: [
      ...[
        '-m',
        'gunicorn',
        '--bind',
        `127.0.0.1:${port}`,
        '--workers',
        '1',
        '--worker-class',
        'gthread',
        '--threads',
        '8',
      ],
      ...['--timeout', '120', '--worker-tmp-dir', memoryFolder(dir), 'superset.app:create_app()'],
    ],
    env,
    dir,
  });
  const url = `http://127.0.0.1:${port}`;
  try {
    await server.waitFor(() => isHealthy(url), 180_000, signal);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return { url, username: 'admin', password, process: server, stop: () => server.stop() };
}

/** Runs superset/provision.py. */
async function provision(
  python: string,
  dir: string,
  env: Record<string, string>,
  signal?: AbortSignal,
): Promise<void> {
  const log = join(dir, 'provision.log');
  try {
    const options = { env: { ...process.env, ...env }, maxBuffer: 1 << 26, timeout: PROVISION_TIMEOUT, signal };
    const { stdout, stderr } = await run(python, [join(SOURCES, 'provision.py'), '--mode', 'always'], options);
    writeFileSync(log, `${stdout}${stderr}`);
  } catch (error) {
    signal?.throwIfAborted();
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
    writeFileSync(log, `${stdout}${stderr}`);
    if ((error as { killed?: boolean }).killed) {
      throw new StartError(
        `The dashboards were not imported into Superset within ${PROVISION_TIMEOUT / 60_000} minutes; a later start continues. The log is ${log}`,
      );
    }
    const end = `${stderr}`.trimEnd().split('\n').slice(-5).join('\n') || message;
    throw new StartError(`The dashboards could not be imported into Superset. The log, ${log}, ends:\n${end}`);
  }
}

/** Returns the secret in a file that only this user can read. Creates it at the first start. */
function kept(file: string, bytes: number): string {
  if (!existsSync(file)) writeFileSync(file, randomBytes(bytes).toString('base64url'), { mode: 0o600 });
  return readFileSync(file, 'utf8');
}

/** Folder in which gunicorn shows that a worker is alive: in memory, because a slow disk would look like a worker that hangs. */
function memoryFolder(otherwise: string): string {
  return statSync('/dev/shm', { throwIfNoEntry: false })?.isDirectory() ? '/dev/shm' : otherwise;
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/health`, { signal: AbortSignal.timeout(5_000) })).ok;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
}
