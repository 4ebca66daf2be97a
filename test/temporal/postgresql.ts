import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { StartError, type Supervised, supervise } from '../../local/process.ts';
import { freePort } from '../../pipeline/free-port.ts';
import { giveAway, unprivileged } from './unprivileged.ts';

export interface Postgresql {
  readonly host: string;
  readonly port: number;
  /** Version as the server reports it. */
  readonly version: string;
  readonly process: Supervised;
  /** Runs SQL as superuser and returns the output of psql, without headers. Throws if it fails. */
  query(sql: string, database?: string): string;
  stop(): Promise<void>;
}

/**
 * Starts a PostgreSQL server with an own data directory below `dir` and a free port. It accepts only passwords (SCRAM), also from this
 * machine. Throws StartError if PostgreSQL is not installed.
 */
export async function startPostgresql(dir: string, options: { host?: string } = {}): Promise<Postgresql> {
  const host = options.host ?? '127.0.0.1';
  const bin = globSync('/usr/lib/postgresql/*/bin')
    .sort((a, b) => Number(a.split('/')[4]) - Number(b.split('/')[4]))
    .at(-1);
  if (!bin) throw new StartError('PostgreSQL is not installed: apt-get install postgresql');
  mkdirSync(dir, { recursive: true, mode: 0o755 });
  giveAway(dir);
  const password = 'superuser of a test';
  const passwordFile = join(dir, 'superuser-password');
  writeFileSync(passwordFile, password, { mode: 0o644 });
  const data = join(dir, 'data');
  const run = (name: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
    const program = unprivileged(join(bin, name), args);
    const stdio: ('ignore' | 'pipe')[] = ['ignore', 'pipe', 'pipe'];
    return execFileSync(program.command, program.args, {
      cwd: '/',
      env: { ...process.env, ...env },
      encoding: 'utf8',
      stdio,
    });
  };
  run('initdb', [
    '-D',
    data,
    '-U',
    'postgres',
    '-A',
    'scram-sha-256',
    `--pwfile=${passwordFile}`,
    '-E',
    'UTF8',
    '--locale=C',
  ]);
  const port = await freePort();
  const server = unprivileged(join(bin, 'postgres'), [
    '-D',
    data,
    '-p',
    `${port}`,
    '-k',
    dir,
    '-h',
    host,
    '-c',
    'max_connections=300',
    '-c',
    'fsync=off',
  ]);
  const supervised = await supervise({ name: 'postgresql', ...server, cwd: '/', dir: join(dir, '..') });
  const query = (sql: string, database = 'postgres') =>
    run(
      'psql',
      [
        '-X',
        '-A',
        '-t',
        '-v',
        'ON_ERROR_STOP=1',
        '-h',
        host,
        '-p',
        `${port}`,
        '-U',
        'postgres',
        '-d',
        database,
        '-c',
        sql,
      ],
      {
        PGPASSWORD: password,
      },
    ).trim();
  await supervised.waitFor(async () => {
    try {
      return query('SELECT 1') === '1';
    } catch {
      return false;
    }
  }, 60_000);
  return {
    host,
    port,
    version: query('SHOW server_version'),
    process: supervised,
    query,
    stop: () => supervised.stop(),
  };
}
