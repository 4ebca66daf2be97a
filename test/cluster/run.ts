/**
 * Installs the chart on a real cluster and uses it as an administrator does: a backfill over the fixtures, autoscaling, killed pods, upgrade, rollback,
 * uninstall, and a second install. The rows must be those that the command `oonipipeline run` writes.
 *
 *     npm run cluster             on the cluster of KUBECONFIG, or of ../shared/lab
 *     npm run kind                on a kind cluster, which it makes (needs Docker and kind)
 *     npm run cluster -- --temporal-production   with Temporal's services (temporal.mode production) and a PostgreSQL of this machine
 *     npm run cluster -- --two-installations   also with a second installation in the same cluster, which takes one to three minutes
 *     npm run cluster -- --evaluation   instead, the release with embedded ClickHouse, embedded Temporal and Superset
 *     npm run cluster -- --minutes 40   ends within that time, cleaning included
 *     npm run cluster -- --keep   leaves the release and the servers running until Ctrl-C
 *
 * Prints a table of steps and ends with `N passed, N failed`. The exit status is 1 if a step failed, 3 if the cluster of ../shared/lab did not
 * start, for a reason outside of this project, so that nothing was tested, and 4 if the time limit or a signal ended the steps.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { StartError } from '../../local/process.ts';
import { obtainPrograms } from '../../local/programs.ts';
import { beginCleaning, command, interrupt } from './command.ts';
import { evaluationSteps } from './evaluation.ts';
import { installationSteps } from './installation.ts';
import { Kube } from './kube.ts';
import { LabError, openPlace, type Place } from './place.ts';
import { type Rows, rowsOf } from './rows.ts';
import { RANGE, type Servers, startServers } from './servers.ts';
import { Steps } from './table.ts';
import { startTemporalServices, type TemporalServices } from './temporal.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const NAMESPACE = 'ooni-cluster-test';
const OTHER_NAMESPACE = `${NAMESPACE}-other`;
/** Exit statuses that .ci/run distinguishes from that of a failed step. */
const [LAB_FAILED, ENDED] = [3, 4];
const MINUTE = 60_000;
/**
 * Maximum time in which the lab starts, and, with a time limit, the parts of it that are kept for the other steps and for cleaning up,
 * milliseconds.
 */
const LAB_TIMEOUT = 30 * MINUTE;
const STEPS_TIME = 12 * MINUTE;
const CLEANING_TIME = 2 * MINUTE;

const { values: options } = parseArgs({
  options: {
    kind: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
    'temporal-production': { type: 'boolean', default: false },
    'two-installations': { type: 'boolean', default: false },
    evaluation: { type: 'boolean', default: false },
    minutes: { type: 'string' },
  },
});
const limit = options.minutes === undefined ? Number.POSITIVE_INFINITY : Number(options.minutes) * MINUTE;
const least = (LAB_TIMEOUT / 10 + STEPS_TIME + CLEANING_TIME) / MINUTE;
if (!(limit >= least * MINUTE)) {
  console.error(`--minutes is ${options.minutes}; name ${least} or more, or leave it out.`);
  process.exit(2);
}

async function main(): Promise<number> {
  const end = new Promise<void>(resolve => {
    const stop = (why: string) => {
      interrupt(new Error(`Ended by ${why}.`));
      resolve();
    };
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop(signal));
    if (limit < Number.POSITIVE_INFINITY) {
      setTimeout(() => stop(`the time limit of ${options.minutes} minutes`), limit - CLEANING_TIME).unref();
    }
  });
  const steps = new Steps();
  const dir = mkdtempSync(join(tmpdir(), 'ooni-cluster-'));
  let place: Place | undefined;
  let servers: Servers | undefined;
  let kube: Kube | undefined;
  let other: Kube | undefined;
  let temporal: TemporalServices | undefined;
  let reference: Promise<Rows> | undefined;
  try {
    await steps.step('programs', async () => {
      await obtainPrograms({ names: ['kubectl', 'versitygw', 'helm'] });
      return 'kubectl, versitygw, Helm';
    });
    await steps.step('cluster', async () => {
      place = await openPlace(options.kind, Math.min(LAB_TIMEOUT, limit - STEPS_TIME - CLEANING_TIME));
      kube = new Kube(place.kubeconfig, NAMESPACE);
      other = new Kube(place.kubeconfig, OTHER_NAMESPACE);
      for (const one of [other, kube]) await removeLeftovers(one);
      await place.removeVolumes?.();
      return place.name;
    });
    await steps.step('servers of this machine: ClickHouse, S3, reference data', async () => {
      servers = await startServers(dir, place!.host);
      // It runs while the release is installed. The step that needs its rows reports its failure.
      reference = runCommand(servers);
      reference.catch(() => {});
      return `reached from pods at ${place!.host}`;
    });
    if (options['temporal-production']) {
      await steps.step("PostgreSQL of this machine, images of Temporal's services", async () => {
        temporal = await startTemporalServices(dir, place!);
        return `PostgreSQL ${temporal.version}`;
      });
    }
    const run = options.evaluation ? evaluationSteps : installationSteps;
    await run(steps, {
      place: () => place!,
      servers: () => servers!,
      kube: () => kube!,
      other: () => other!,
      two: options['two-installations'],
      temporal: () => temporal,
      reference: () => reference!,
    });
    if (steps.failed) for (const one of [other, kube]) if (one) console.log(`\n${await one.report()}\n`);
    if (options.keep && place) {
      console.log(`export KUBECONFIG=${place.kubeconfig}; everything stays up until Ctrl-C`);
      await end;
    }
  } finally {
    // Without a cluster the table would hide the message that names the cause and its remedy.
    if (place || !(steps.error instanceof StartError)) steps.print();
    beginCleaning();
    for (const one of place?.disposable ? [] : [other, kube]) {
      if (one) await removeLeftovers(one).catch((error: Error) => console.error(error.message));
    }
    await temporal?.stop();
    await servers?.stop();
    await place?.close().catch((error: Error) => console.error(error.message));
    rmSync(dir, { recursive: true, force: true });
  }
  if (steps.error instanceof LabError) return LAB_FAILED;
  if (steps.failed) return 1;
  return steps.error ? ENDED : 0;
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
// A wait of an ended step must not keep the process.
process.exit();
