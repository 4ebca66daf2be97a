import { setTimeout as sleep } from 'node:timers/promises';
import { Command, Option } from 'commander';
import { BACKFILLS, PIPELINE_SCHEDULES, WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { DEPLOYMENTS } from '../../operator/kube/builtin.ts';
import { ForbiddenError } from '../../operator/kube/errors.ts';
import { canRewrite, paletteFor } from '../colour.ts';
import { checkInterval, intervalOption } from '../options.ts';
import { isAway } from '../orchestration/target.ts';
import { Output } from '../output.ts';
import { printable } from '../printable.ts';
import { messageWithRemedy } from '../remedies.ts';
import { onStopSignal } from '../stop-signals.ts';
import { columnsOf } from '../width.ts';
import { type Cluster, type ClusterOptions, requireNamespace, withCluster, withClusterOptions } from './cluster.ts';
import { OPERATOR_SELECTOR } from './operator-selector.ts';
import { type InstallationView, isAsDesired, screenLines } from './screen.ts';

interface Options extends ClusterOptions {
  readonly watch?: boolean;
  readonly interval: number;
  readonly output?: 'human' | 'json';
}

/** Columns of the screen where the output is not a terminal. */
const WIDTH = 100;

/** Creates `kubectl ooni status`, which shows the whole installation on one screen. */
export function statusCommand(): Command {
  return withClusterOptions(new Command('status'))
    .description('Show the whole installation on one screen')
    .option('--watch', 'show it again and again, until Ctrl-C')
    .addOption(intervalOption())
    .addOption(
      new Option('-o, --output <form>', 'human, or json with one document')
        .choices(['human', 'json'])
        .default(undefined, 'human on a terminal, else json'),
    )
    .addHelpText(
      'after',
      `
Shows operator, pools, schedules, backfills, their last failures and resources that are not as desired, in all namespaces unless -n is given. All
figures come from the resources, where the operator records what it sees in Temporal and ClickHouse; an absent figure is unknown.

Exit status: 0 an operator is available, each resource is as desired, nothing blocks a run, and no bucket failed; 1 one of these does not
hold, and the display says which, or the cluster does not answer; 2 wrong usage. A missing bucket alone is not an error. With --watch,
Ctrl-C ends with 0.

  kubectl ooni status
  kubectl ooni status --watch`,
    )
    .action((options: Options, command: Command) => {
      checkInterval(command);
      return withCluster('status', options, cluster => status(cluster, options));
    });
}

async function status(cluster: Cluster, options: Options): Promise<number> {
  const form = options.output ?? (process.stdout.isTTY ? 'human' : 'json');
  const stop = new AbortController();
  onStopSignal(() => stop.abort());
  let isSeen = false;
  for (;;) {
    const view = await readInstallation(cluster).catch((error: Error) => {
      if (!isSeen || !isAway(error)) throw error;
      // An API server that restarts must not end the screen of the person who watches.
      console.error(printable(messageWithRemedy(error)));
      return undefined;
    });
    isSeen = true;
    if (!view) {
      // The last display stays.
    } else if (form === 'json') await new Output(process.stdout, 'json').write(`${JSON.stringify(view)}\n`);
    else {
      const clear = options.watch && canRewrite(process.stdout) ? '\x1b[H\x1b[2J\x1b[3J' : '';
      const lines = screenLines(view, paletteFor(process.stdout), columnsOf(process.stdout) ?? WIDTH);
      process.stdout.write(`${clear}${lines.join('\n')}\n`);
    }
    if (!options.watch) return view && isAsDesired(view) ? 0 : 1;
    await sleep(options.interval * 1000, undefined, { signal: stop.signal }).catch(() => {});
    if (stop.signal.aborted) return 0;
  }
}

/** Reads the resources of an installation. Throws KubeErrors. */
export async function readInstallation({ client, server, namespace, options }: Cluster): Promise<InstallationView> {
  const scope = options.namespace === undefined ? {} : { namespace };
  const [pools, schedules, backfills, operators] = await Promise.all([
    client.list(WORKER_POOLS, scope),
    client.list(PIPELINE_SCHEDULES, scope),
    client.list(BACKFILLS, scope),
    client.list(DEPLOYMENTS, { labelSelector: OPERATOR_SELECTOR }).catch((error: unknown) => {
      // A user who may read the resources need not be allowed to read Deployments of all namespaces.
      if (error instanceof ForbiddenError) return [];
      throw error;
    }),
  ]);
  // An empty list is all that the API server returns for a namespace that does not exist.
  if (options.namespace !== undefined && pools.length + schedules.length + backfills.length === 0) {
    await requireNamespace(client, namespace);
  }
  const newestFirst = [...backfills].sort((a, b) =>
    (a.metadata.creationTimestamp ?? '') < (b.metadata.creationTimestamp ?? '') ? 1 : -1,
  );
  return { at: new Date().toISOString(), server, operators, pools, schedules, backfills: newestFirst };
}
