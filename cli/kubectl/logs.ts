import { spawn } from 'node:child_process';
import { Command, Option } from 'commander';
import { KubeConfigError } from '../../operator/kube/config.ts';
import { wholeNumber } from '../options.ts';
import { type ClusterOptions, withCluster, withClusterOptions } from './cluster.ts';
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
    .argument('[pool]', 'name of a WorkerPool; the operator unless given')
    .option('-f, --follow', 'show new lines until Ctrl-C')
    .addOption(new Option('--tail <n>', 'last lines of each pod').default(100).argParser(wholeNumber(1, 1_000_000)))
    .option('--since <duration>', 'only lines of this time, such as 10m')
    .addHelpText(
      'after',
      `
Runs kubectl logs with the right labels. Without a pool and without -n it takes the operator's pods of all namespaces.

Exit status: that of kubectl; 1 if kubectl is not on PATH; 2 wrong usage.

  kubectl ooni logs --tail 20
  kubectl ooni logs main -f`,
    )
    .action((pool: string | undefined, options: Options) =>
      withCluster('logs', options, async ({ client, namespace }) => {
        const selector = pool === undefined ? OPERATOR_SELECTOR : await selectorOf(client, namespace, pool);
        const place = pool === undefined && options.namespace === undefined ? ['--all-namespaces'] : ['-n', namespace];
        return run('kubectl', [
          'logs',
          '-l',
          selector,
          ...place,
          '--prefix',
          '--max-log-requests=50',
          `--tail=${options.tail}`,
          ...(options.follow ? ['-f'] : []),
          ...(options.since ? [`--since=${options.since}`] : []),
          ...clusterArguments(options),
        ]);
      }),
    );
}

type ClientOf = Parameters<Parameters<typeof withCluster>[2]>[0]['client'];

async function selectorOf(client: ClientOf, namespace: string, name: string): Promise<string> {
  const { WORKER_POOLS } = await import('../../operator/controllers/resources.ts');
  const { status } = await client.get(WORKER_POOLS, { namespace, name });
  if (status?.selector) return status.selector;
  throw new KubeConfigError(`workerpool/${name} has no pods yet`);
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
