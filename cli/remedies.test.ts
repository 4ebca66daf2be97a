import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryDirectory } from '../test/support/archive.ts';

const PASSWORD = 'hunter2secret';
/** Nothing listens there. */
const CLOSED = '127.0.0.1:1';
const BIN = join(import.meta.dirname, 'bin');
const RANGE = ['--start-at', '2024-01-01', '--end-at', '2024-01-02'];

const CLICKHOUSE = '; start ClickHouse, or name another one with --clickhouse or CLICKHOUSE_URL';
const TEMPORAL = '; start Temporal (npm start -- --no-kubernetes), or name another one with TEMPORAL_ADDRESS';
const ARCHIVE = '; check the network, ARCHIVE_URL and ARCHIVE_ENDPOINT, and repeat the command';
const CLUSTER = '; check the cluster with kubectl cluster-info, or choose another one with --context or KUBECONFIG';

test.each([
  ['oonipipeline', ['runs'], CLICKHOUSE],
  ['oonipipeline', ['backfill', '--no-kubernetes', '--create-tables'], CLICKHOUSE],
  ['oonipipeline', ['schedule', '--no-kubernetes'], TEMPORAL],
  ['oonipipeline', ['backfill', '--no-kubernetes'], TEMPORAL],
  ['oonipipeline', ['status', '-o', 'human'], '-> start Temporal (npm start -- --no-kubernetes), or name another one'],
  ['oonipipeline', ['status', '-o', 'human'], '-> start ClickHouse, or name another one with --clickhouse'],
  ['oonipipeline', ['sync', ...RANGE, '--output-dir', 'x'], ARCHIVE],
  ['oonipipeline', ['schedule', '--kubernetes'], CLUSTER],
  ['oonipipeline', ['schedule'], 'give --no-kubernetes to use Temporal itself, or --kubernetes'],
  ['kubectl-ooni', ['status'], CLUSTER],
  ['kubectl-ooni', ['pool', 'drain', 'main', '--yes'], CLUSTER],
  ['kubectl-ooni', ['backfill', 'grid'], CLICKHOUSE],
  ['kubectl-ooni', ['doctor', '-o', 'human'], '-> check the cluster with kubectl cluster-info'],
  ['kubectl-ooni', ['doctor', '-o', 'human'], '-> check TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE, and whether'],
  ['kubectl-ooni', ['doctor', '-o', 'human'], '-> check CLICKHOUSE_URL, and whether this machine reaches'],
] as const)('%s %j names the remedy when no server answers, and no password', async (program, args, remedy) => {
  const { status, printed } = await run(program, args, {
    CLICKHOUSE_URL: `http://me:${PASSWORD}@${CLOSED}/db`,
    TEMPORAL_ADDRESS: CLOSED,
    TEMPORAL_API_KEY: PASSWORD,
    ARCHIVE_ENDPOINT: `http://${CLOSED}`,
  });
  expect(printed).toContain(remedy);
  expect(printed).not.toContain(PASSWORD);
  expect(status).toBe(1);
});

/** Runs a command with the kubeconfig of a cluster that does not answer. Returns its status and its output, without line breaks in sentences. */
async function run(program: string, args: readonly string[], env: Readonly<Record<string, string>>) {
  const dir = temporaryDirectory();
  const kubeconfig = join(dir, 'kubeconfig');
  const clusters = [{ name: 'x', cluster: { server: `https://${CLOSED}` } }];
  const users = [{ name: 'x', user: { token: PASSWORD } }];
  const contexts = [{ name: 'x', context: { cluster: 'x', user: 'x' } }];
  writeFileSync(kubeconfig, JSON.stringify({ apiVersion: 'v1', 'current-context': 'x', clusters, users, contexts }));
  const child = spawn(process.execPath, [join(BIN, `${program}.mjs`), ...args], {
    cwd: dir,
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      ...(process.env.NODE_COMPILE_CACHE && { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE }),
      NO_COLOR: '1',
      KUBECONFIG: kubeconfig,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (printed += text));
  const [status] = await once(child, 'close');
  return { status, printed: printed.replaceAll(/\n +/g, ' ') };
}
