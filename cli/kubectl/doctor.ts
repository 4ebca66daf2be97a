import { Command, InvalidArgumentError } from 'commander';
import { hidePasswords } from '../../pipeline/hide-password.ts';
import { loadSettings } from '../../pipeline/settings.ts';
import { paletteFor } from '../colour.ts';
import { printable } from '../printable.ts';
import { columnsOf } from '../width.ts';
import type { Check } from './check.ts';
import { checkServer, clusterChecks } from './checks.ts';
import { checkLines } from './checks-text.ts';
import { type Cluster, type ClusterOptions, withCluster, withClusterOptions } from './cluster.ts';

interface Options extends ClusterOptions {
  readonly output?: 'human' | 'json';
}

/** Creates `kubectl ooni doctor`, which checks an installation and names the remedies. */
export function doctorCommand(): Command {
  return withClusterOptions(new Command('doctor'))
    .description('Check the installation, and name the remedy of each problem')
    .option('-o, --output <form>', 'human, or json with one check a line', form)
    .addHelpText(
      'after',
      `
Checks the API server, CRDs, permissions, the clock, the operator, its lease, image and RBAC in the cluster; and Temporal, ClickHouse and
the archive with the settings of this machine (TEMPORAL_ADDRESS, CLICKHOUSE_URL, ARCHIVE_URL). A server that only the cluster can reach
is unknown from here, and so is one that does not answer within 15 s. An API server that does not answer is a failed check. The checks
change nothing: they create objects only as dry runs.

Exit status: 0 nothing failed; 1 something did; 2 wrong usage.

  kubectl ooni doctor`,
    )
    .action((options: Options) =>
      withCluster('doctor', options, async cluster => {
        const checks = await allChecks(cluster);
        const isHuman = (options.output ?? (process.stdout.isTTY ? 'human' : 'json')) === 'human';
        if (isHuman)
          console.log(checkLines(checks, paletteFor(process.stdout), columnsOf(process.stdout) ?? 100).join('\n'));
        else for (const each of checks) console.log(hidePasswords(printable(JSON.stringify(each))));
        return checks.some(({ state }) => state === 'failed') ? 1 : 0;
      }),
    );
}

function form(text: string): 'human' | 'json' {
  if (text === 'human' || text === 'json') return text;
  throw new InvalidArgumentError('Allowed choices are human, json.');
}

/** Runs all checks of a cluster, and of the servers in the settings. */
export async function allChecks({ client, namespace }: Cluster): Promise<Check[]> {
  const settings = loadSettings();
  const server = await checkServer(client);
  const checks = await Promise.all([
    server.state === 'ok' ? clusterChecks(client, namespace, Date.now) : [],
    // The clients of the servers are loaded while the cluster answers.
    import('./server-checks.ts').then(({ serverChecks }) => serverChecks(settings)),
  ]);
  return [server, ...checks.flat()];
}
