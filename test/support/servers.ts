import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startClickHouse } from '../../local/clickhouse.ts';
import { startControlPlane } from '../../local/control-plane.ts';
import { ALL_PROGRAMS, obtainPrograms } from '../../local/programs.ts';
import { startTemporal } from '../../local/temporal.ts';
import { bundleWorkflows } from '../../local/workflows.ts';
import { PROGRAM_ENV } from './program.ts';

/** Intervals at which Temporal checks whether a version of the workflow code has drained: a second instead of three minutes. */
const DRAINAGE = {
  'matching.wv.VersionDrainageStatusVisibilityGracePeriod': '1s',
  'matching.wv.VersionDrainageStatusRefreshInterval': '1s',
};

const ROOT = join(import.meta.dirname, '../..');

declare module 'vitest' {
  interface ProvidedContext {
    /** http://127.0.0.1:port of a ClickHouse server. Each test file creates its own database. */
    clickhouseUrl: string;
    /** host:port of a Temporal server with namespace `default`. Each test file has its own task queues and ids. */
    temporalAddress: string;
    /** Path of an administrator's kubeconfig. Each test file creates its own namespaces. */
    kubeconfig: string;
  }
}

/** Starts the real servers of the integration and fault tests, on free ports with empty data, and stops them after the last test. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // First and alone, because a Go build uses all processors for minutes.
  await obtainPrograms({ names: ALL_PROGRAMS });
  await Promise.all([bundleWorkflows(), ...PROGRAMS.map(compile)]);
  const dir = mkdtempSync(join(tmpdir(), 'ooni-test-'));
  const started = await Promise.allSettled([
    startClickHouse({ dir: join(dir, 'clickhouse') }),
    startTemporal({ dir: join(dir, 'temporal'), dynamicConfig: DRAINAGE }),
    startControlPlane({ dir: join(dir, 'kubernetes') }),
  ]);
  const stop = async () => {
    await Promise.all(started.map(server => (server.status === 'fulfilled' ? server.value.stop() : undefined)));
    rmSync(dir, { recursive: true, force: true });
  };
  const failed = started.find(server => server.status === 'rejected');
  if (failed) {
    await stop();
    throw failed.reason;
  }
  const [clickhouse, temporal, kubernetes] = started.map(
    server => (server as PromiseFulfilledResult<unknown>).value,
  ) as [
    Awaited<ReturnType<typeof startClickHouse>>,
    Awaited<ReturnType<typeof startTemporal>>,
    Awaited<ReturnType<typeof startControlPlane>>,
  ];
  project.provide('clickhouseUrl', clickhouse.url);
  project.provide('temporalAddress', temporal.address);
  project.provide('kubeconfig', kubernetes.kubeconfig);
  return stop;
}

const PROGRAMS = ['worker/main.ts', 'operator/main.ts'];

/**
 * Fills Node's compile cache with a program, for the hundred processes that follow. A killed process, as in many tests, does not write the
 * cache. A process that rejects a setting has loaded everything and ends normally.
 */
async function compile(program: string): Promise<void> {
  const env = { ...PROGRAM_ENV, LOG_LEVEL: 'no such level' };
  await once(spawn(process.execPath, [program], { cwd: ROOT, env, stdio: 'ignore' }), 'exit');
}
