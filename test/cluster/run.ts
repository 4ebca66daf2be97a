/**
 * Installs the chart on a real cluster and uses it as an administrator does: a backfill over the fixtures, autoscaling, killed pods, upgrade, rollback,
 * uninstall, and a second installation. The rows must be those that the command `oonipipeline run` writes.
 *
 *     npm run cluster             on the cluster of KUBECONFIG, or of ../shared/lab
 *     npm run kind                on a kind cluster, which it makes (needs Docker and kind)
 *     npm run cluster -- --temporal-production   with Temporal's services (temporal.mode production) and a PostgreSQL of this machine
 *     npm run cluster -- --keep   leaves the release and the servers running until Ctrl-C
 *
 * Prints a table of steps and ends with `N passed, N failed`. The exit status is 1 if a step failed, and 3 if
 * the cluster of ../shared/lab did not start, for a reason outside of this project, so that nothing was tested.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StartError } from '../../local/process.ts';
import { obtainPrograms } from '../../local/programs.ts';
import { command } from './command.ts';
import { installationSteps, RANGE } from './installation.ts';
import { Kube } from './kube.ts';
import { LabError, openPlace, type Place } from './place.ts';
import { type Rows, rowsOf } from './rows.ts';
import { type Servers, startServers } from './servers.ts';
import { Steps } from './table.ts';
import { startTemporalServices, type TemporalServices } from './temporal.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const NAMESPACE = 'ooni-cluster-test';
/** Exit status that .ci/run tells apart from a failed step. */
const LAB_FAILED = 3;
const temporalProduction = process.argv.includes('--temporal-production');
const keep = process.argv.includes('--keep');

async function main(): Promise<number> {
  const steps = new Steps();
  const dir = mkdtempSync(join(tmpdir(), 'ooni-cluster-'));
  let place: Place | undefined;
  let servers: Servers | undefined;
  let kube: Kube | undefined;
  let temporal: TemporalServices | undefined;
  let reference: Promise<Rows> | undefined;
  try {
    await steps.step('programs', async () => {
      await obtainPrograms({ names: ['kubectl', 'versitygw', 'helm'] });
      return 'kubectl, versitygw, Helm';
    });
    await steps.step('cluster', async () => {
      place = await openPlace(process.argv.includes('--kind'));
      kube = new Kube(place.kubeconfig, NAMESPACE);
      await removeLeftovers(kube);
      return place.name;
    });
    await steps.step('servers of this machine: ClickHouse, S3, reference data', async () => {
      servers = await startServers(dir, place!.host);
      // It runs while the release is installed. The step that needs its rows reports its failure.
      reference = runCommand(servers);
      reference.catch(() => {});
      return `reached from pods at ${place!.host}`;
    });
    if (temporalProduction) {
      await steps.step("PostgreSQL of this machine, images of Temporal's services", async () => {
        temporal = await startTemporalServices(dir, place!);
        return `PostgreSQL ${temporal.version}`;
      });
    }
    await installationSteps(steps, {
      place: () => place!,
      servers: () => servers!,
      kube: () => kube!,
      temporal: () => temporal,
      reference: () => reference!,
    });
    if (steps.failed && kube) console.log(`\n${await kube.report()}\n`);
    if (keep) {
      console.log(`export KUBECONFIG=${place?.kubeconfig}; everything stays up until Ctrl-C`);
      await new Promise(resolve => process.once('SIGINT', resolve));
    }
  } finally {
    steps.print();
    if (kube) await removeLeftovers(kube).catch((error: Error) => console.error(error.message));
    await temporal?.stop();
    await servers?.stop();
    await place?.close().catch((error: Error) => console.error(error.message));
    rmSync(dir, { recursive: true, force: true });
  }
  if (steps.error instanceof LabError) return LAB_FAILED;
  return steps.failed ? 1 : 0;
}

/** Runs the command `oonipipeline run` over the range of the Backfills into a database of its own. Returns its rows. */
async function runCommand(servers: Servers): Promise<Rows> {
  const environment = Object.entries(servers.settings).map(([key, value]) => [key.toUpperCase(), String(value)]);
  const { startAt, endAt, probeCC } = RANGE;
  const range = ['--start-at', startAt, '--end-at', endAt, '--probe-cc', probeCC.join(',')];
  await command(process.execPath, ['cli/main.ts', 'run', ...range, '-o', 'json'], {
    cwd: ROOT,
    env: { ...Object.fromEntries(environment), CLICKHOUSE_URL: `${servers.clickhouse}/expected` },
  });
  const rows = await rowsOf(servers.clickhouse, 'expected');
  if (rows.obs_web!.rows === 0) throw new Error('the command oonipipeline run wrote no rows');
  return rows;
}

/** Removes what this or an earlier run left: the release, its resources, its namespace. The definitions stay, as a release leaves them. */
async function removeLeftovers(kube: Kube): Promise<void> {
  if ((await kube.kubectl(['get', 'namespace', NAMESPACE, '--ignore-not-found', '-o', 'name'])) === '') return;
  for (const kind of ['backfills', 'pipelineschedules']) {
    // Without an operator nothing would remove the finalizers.
    const names = await kube.kubectl(['get', kind, '-o', 'name']).catch(() => '');
    for (const name of names.split('\n').filter(Boolean)) {
      await kube.kubectl(['patch', name, '--type=merge', '-p', '{"metadata":{"finalizers":null}}']).catch(() => '');
    }
  }
  await kube.helm(['uninstall', 'ooni', '--ignore-not-found', '--wait', '--timeout', '3m']);
  await kube.kubectl(['delete', 'namespace', NAMESPACE, '--wait', '--timeout=5m']);
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof StartError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
