import { spawn } from 'node:child_process';
import { Command, Option } from 'commander';
import { DEPLOYMENTS } from '../../operator/kube/builtin.ts';
import { KubeConfigError } from '../../operator/kube/config.ts';
import { ForbiddenError } from '../../operator/kube/errors.ts';
import { durationText, resourceName } from '../names.ts';
import { wholeNumber } from '../options.ts';
import { type Cluster, type ClusterOptions, withCluster, withClusterOptions } from './cluster.ts';
import { OPERATOR_SELECTOR } from './status.ts';

interface Options extends ClusterOptions {
  readonly follow?: boolean;
  readonly tail: number;
  readonly since?: string;
}

/** Creates `kubectl ooni logs`, which shows the logs of the operator or of the workers of a pool. */
export function logsCommand(): Command {
  return withClusterOptions(new Command('logs'))
    .description('Show the logs of the operator, or of the workers of a pool')
    .argument('[pool]', 'name of a WorkerPool; the operator unless given', resourceName)
    .option('-f, --follow', 'show new lines until Ctrl-C')
    .addOption(new Option('--tail <n>', 'last lines of each pod').default(100).argParser(wholeNumber(1, 1_000_000)))
    .option('--since <duration>', 'only lines of this time, such as 10m', durationText)
    .addHelpText(
      'after',
      `
Runs kubectl logs with the right labels. Without a pool and without -n it takes the pods of every operator in the cluster.

Exit status: that of kubectl; 1 if kubectl is not on PATH; 2 wrong usage.

  kubectl ooni logs --tail 20
  kubectl ooni logs main -f`,
    )
    .action((pool: string | undefined, options: Options) =>
      withCluster('logs', options, async cluster => {
        const pods =
          pool === undefined
            ? (await operatorNamespaces(cluster)).map(namespace => ({ namespace, selector: OPERATOR_SELECTOR }))
            : [{ namespace: cluster.namespace, selector: await selectorOf(cluster, pool) }];
        const statuses = await Promise.all(
          pods.map(({ namespace, selector }) =>
            run('kubectl', [
              'logs',
              '-l',
              selector,
              '-n',
              namespace,
              '--prefix',
              '--max-log-requests=50',
              `--tail=${options.tail}`,
              ...(options.follow ? ['-f'] : []),
              ...(options.since ? [`--since=${options.since}`] : []),
              ...clusterArguments(options),
            ]),
          ),
        );
        return Math.max(...statuses);
      }),
    );
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
    `no Deployment has the label ${OPERATOR_SELECTOR}; install the chart ooni-pipeline, or give the namespace of the operator with -n`,
  );
}

async function selectorOf({ client, namespace }: Cluster, name: string): Promise<string> {
  const { WORKER_POOLS } = await import('../../operator/controllers/resources.ts');
  const { status } = await client.get(WORKER_POOLS, { namespace, name });
  if (status?.selector) return status.selector;
  throw new KubeConfigError(`workerpool/${name} has no pods yet; look at: kubectl ooni status`);
}

/** Returns the options of kubectl for the cluster that was chosen here. */
export function clusterArguments({ kubeconfig, context }: ClusterOptions): string[] {
  return [...(kubeconfig ? ['--kubeconfig', kubeconfig] : []), ...(context ? ['--context', context] : [])];
}

function run(command: string, args: readonly string[]): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit' });
  return new Promise((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      reject(error.code === 'ENOENT' ? new KubeConfigError('kubectl is not on PATH') : error);
    });
    child.once('close', status => resolve(status ?? 1));
  });
}
