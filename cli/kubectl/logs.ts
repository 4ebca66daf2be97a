import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { Command, Option } from 'commander';
import { DEPLOYMENTS } from '../../operator/kube/builtin.ts';
import { KubeConfigError } from '../../operator/kube/config.ts';
import { ForbiddenError } from '../../operator/kube/errors.ts';
import { durationText, resourceName } from '../names.ts';
import { bucket, wholeNumber } from '../options.ts';
import { Output } from '../output.ts';
import { type Cluster, type ClusterOptions, resourceNamed, withCluster, withClusterOptions } from './cluster.ts';
import { OPERATOR_SELECTOR } from './operator-selector.ts';

interface Options extends ClusterOptions {
  readonly follow?: boolean;
  readonly tail?: number;
  readonly since?: string;
  readonly bucket?: string;
}

/** Number of the last lines of each pod that are shown. */
const TAIL = 100;

/** Creates `kubectl ooni logs`, which shows the logs of the operator or of the workers of a pool. */
export function logsCommand(): Command {
  return withClusterOptions(new Command('logs'))
    .description('Show the logs of the operator, or of the workers of a pool')
    .argument('[pool]', 'name of a WorkerPool; the operator unless given', resourceName)
    .option('--bucket <bucket>', 'only lines about this bucket, of the operator and of all workers', bucket)
    .option('-f, --follow', 'show new lines until Ctrl-C')
    .addOption(
      new Option('--tail <n>', `last lines of each pod; ${TAIL} unless given, with --bucket all`).argParser(
        wholeNumber(1, 1_000_000),
      ),
    )
    .option('--since <duration>', 'only lines of this time, such as 10m', durationText)
    .addHelpText(
      'after',
      `
Runs kubectl logs with the right labels. Without a pool and without -n it takes the pods of every operator in the cluster; --bucket adds
the workers of every WorkerPool. The lines of a bucket of a day include those of its hours, and those of plans of backfills that wait,
because a bucket waits for its plan. The log of a pod that is gone is gone, too.

Exit status: that of kubectl; 1 if kubectl is not on PATH, or if the pods of the operator are not known; 2 wrong usage. No line about a
bucket is not an error.

  kubectl ooni logs --tail 20
  kubectl ooni logs main -f
  kubectl ooni logs --bucket 2024-01-22`,
    )
    .action((pool: string | undefined, options: Options) =>
      withCluster('logs', options, async cluster => {
        const isShown = options.bucket === undefined ? undefined : isAbout(options.bucket);
        const { pods, missing } = await podsOf(cluster, pool, options);
        if (missing !== undefined) console.error(`kubectl ooni logs: lines of the operator are missing: ${missing}`);
        const tail = options.tail ?? (isShown ? -1 : TAIL);
        let shown = 0;
        const output = new Output(process.stdout);
        const show =
          isShown &&
          (async (line: string) => {
            if (isShown(line)) {
              shown++;
              await output.write(`${line}\n`);
            }
            return !output.closed;
          });
        const statuses = await Promise.all(
          pods.map(({ namespace, selector }) => {
            const args = [
              'logs',
              '-l',
              selector,
              '-n',
              namespace,
              '--prefix',
              '--max-log-requests=50',
              `--tail=${tail}`,
            ];
            if (options.follow) args.push('-f');
            if (options.since) args.push(`--since=${options.since}`);
            return run('kubectl', [...args, ...clusterArguments(options)], show);
          }),
        );
        if (isShown && shown === 0) {
          console.error(`kubectl ooni logs: the pods that exist have no line about ${options.bucket}`);
        }
        return Math.max(...statuses, missing === undefined ? 0 : 1);
      }),
    );
}

/** Pods of one namespace. */
interface Pods {
  readonly namespace: string;
  readonly selector: string;
}

/**
 * Returns the pods of a pool, or those of the operators, with a bucket also those of all pools. `missing`: why those of the operators are not
 * among them, although those of the pools are.
 */
export async function podsOf(
  cluster: Cluster,
  pool: string | undefined,
  { bucket, namespace }: Options,
): Promise<{ readonly pods: readonly Pods[]; readonly missing?: string }> {
  if (pool !== undefined) {
    return { pods: [{ namespace: cluster.namespace, selector: await selectorOf(cluster, pool) }] };
  }
  const operatorPods = async (): Promise<Pods[]> =>
    (await operatorNamespaces(cluster)).map(namespace => ({ namespace, selector: OPERATOR_SELECTOR }));
  if (bucket === undefined) return { pods: await operatorPods() };
  const { WORKER_POOLS } = await import('../../operator/controllers/resources.ts');
  const [operators, pools] = await Promise.all([
    operatorPods().catch((error: unknown) => {
      if (error instanceof KubeConfigError) return error;
      throw error;
    }),
    cluster.client.list(WORKER_POOLS, namespace === undefined ? {} : { namespace }),
  ]);
  const workers = pools.flatMap(({ metadata: { namespace = '' }, status }) =>
    status?.selector ? [{ namespace, selector: status.selector }] : [],
  );
  if (!(operators instanceof KubeConfigError)) return { pods: [...operators, ...workers] };
  if (workers.length === 0) throw operators;
  return { pods: workers, missing: operators.message };
}

/** Begins the lines of the operator about the plan of a backfill, which comes before all its buckets. */
const PLAN = '"msg":"the plan ';

/**
 * Returns whether a line of a log is about a bucket: by its field `bucket`, or by its message. A day includes its hours. Lines about plans of
 * backfills that wait, or do not wait any more, are about every bucket, because a bucket waits for the plan.
 */
export function isAbout(bucket: string): (line: string) => boolean {
  return line => {
    if (line.includes(PLAN)) return true;
    if (!line.includes(bucket)) return false;
    try {
      const { bucket: field, msg } = JSON.parse(line.slice(Math.max(0, line.indexOf('{')))) as {
        bucket?: unknown;
        msg?: unknown;
      };
      return [field, msg].some(text => typeof text === 'string' && text.includes(bucket));
    } catch {
      // A line of another program, or the text of a crash.
      return true;
    }
  };
}

/**
 * Returns the namespaces that have an operator: that of the option -n, or those with a Deployment of the operator, because `kubectl logs`
 * takes one namespace. Throws KubeConfigError when there is none, or when the user may not look.
 */
export async function operatorNamespaces({ client, options }: Cluster): Promise<string[]> {
  if (options.namespace !== undefined) return [options.namespace];
  try {
    const deployments = await client.list(DEPLOYMENTS, { labelSelector: OPERATOR_SELECTOR });
    const found = new Set(deployments.flatMap(({ metadata: { namespace } }) => namespace ?? []));
    if (found.size > 0) return [...found];
  } catch (error) {
    if (!(error instanceof ForbiddenError)) throw error;
    throw new KubeConfigError(
      `you may not list the Deployments of all namespaces; give the namespace of the operator, such as -n ooni-system`,
    );
  }
  throw new KubeConfigError(
    `no Deployment has the labels ${OPERATOR_SELECTOR}; install the chart ooni-pipeline, or give the namespace of the operator with -n`,
  );
}

async function selectorOf(cluster: Cluster, name: string): Promise<string> {
  const { WORKER_POOLS } = await import('../../operator/controllers/resources.ts');
  const { status } = await resourceNamed(cluster, WORKER_POOLS, name);
  if (status?.selector) return status.selector;
  throw new KubeConfigError(`workerpool/${name} has no pods yet; look at: kubectl ooni status`);
}

/** Returns the options of kubectl for the cluster that was chosen here. */
export function clusterArguments({ kubeconfig, context }: ClusterOptions): string[] {
  return [...(kubeconfig ? ['--kubeconfig', kubeconfig] : []), ...(context ? ['--context', context] : [])];
}

/** Receives a line. Resolves to whether it takes more. */
type Show = (line: string) => Promise<boolean>;

/** Runs a command and returns its exit status. `show` receives each line of its output; without it, the output is that of this program. */
async function run(command: string, args: readonly string[], show?: Show): Promise<number> {
  const child = spawn(command, args, { stdio: ['inherit', show ? 'pipe' : 'inherit', 'inherit'] });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? new KubeConfigError('kubectl is not on PATH') : error);
    });
    child.once('close', status => resolve(status ?? 1));
  });
  if (!show || !child.stdout) return ended;
  let hasLeft = false;
  const read = async (output: Readable) => {
    for await (const line of createInterface({ input: output })) {
      if (await show(line)) continue;
      // The reader of our output has left, as `head` does. This is not an error.
      hasLeft = true;
      child.kill();
      return;
    }
  };
  const [status] = await Promise.all([ended, read(child.stdout)]);
  return hasLeft ? 0 : status;
}
