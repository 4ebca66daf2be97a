import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { Command } from 'commander';
import { GROUP } from '../../crds/resource.ts';
import { CORE_EVENTS } from '../../operator/kube/builtin.ts';
import { KubeConfigError } from '../../operator/kube/config.ts';
import { KubeError } from '../../operator/kube/errors.ts';
import { hidePasswords } from '../../pipeline/hide-password.ts';
import { loadSettings, publicSettings } from '../../pipeline/settings.ts';
import { CODE_VERSION } from '../../pipeline/version.ts';
import { path } from '../names.ts';
import { type Cluster, type ClusterOptions, withCluster, withClusterOptions } from './cluster.ts';
import { allChecks } from './doctor.ts';
import { clusterArguments, operatorNamespaces } from './logs.ts';
import { OPERATOR_SELECTOR } from './operator-selector.ts';
import { redacted } from './redaction.ts';
import { readInstallation } from './status.ts';

interface Options extends ClusterOptions {
  readonly outputFile?: string;
}

/** Last lines of each log in the report. */
const LINES = 500;

/** Creates `kubectl ooni report`, which writes a file for a bug report. */
export function reportCommand(): Command {
  return withClusterOptions(new Command('report'))
    .description('Write a redacted file for a bug report')
    .option('--output-file <file>', 'destination; ooni-report-<time>.json.gz in this directory unless given', path)
    .addHelpText(
      'after',
      `
Contains the resources with their status, the events of the kinds, the checks of doctor, the settings of this machine, and the last ${LINES}
lines of the logs of the operator. Passwords, tokens and values of secret settings are ***; Secrets are not read. Look at the file before
you pass it on: zless ooni-report-*.json.gz

Exit status: 0 the file is written; 1 it is not; 2 wrong usage.

  kubectl ooni report`,
    )
    .action((options: Options) =>
      withCluster('report', options, async cluster => {
        const file =
          options.outputFile ?? `ooni-report-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.json.gz`;
        const text = `${JSON.stringify(await collect(cluster), undefined, 2)}\n`;
        try {
          // Only the user may read it: names of hosts and of objects are in it.
          writeFileSync(file, gzipSync(text), { mode: 0o600, flag: 'wx' });
        } catch (error) {
          throw new KubeConfigError(`${file} cannot be written: ${(error as Error).message}`);
        }
        console.log(`${file} is written; look at it before you pass it on`);
        return 0;
      }),
    );
}

/** Collects the content of a report, redacted. */
async function collect(cluster: Cluster): Promise<unknown> {
  const { client } = cluster;
  const [installation, checks, events] = await Promise.all([
    readInstallation(cluster),
    allChecks(cluster),
    client
      .list(CORE_EVENTS, { fieldSelector: `involvedObject.apiVersion=${GROUP}/v1alpha1` })
      .catch((error: unknown) => {
        if (error instanceof KubeError) return error.message;
        throw error;
      }),
  ]);
  return redacted({
    version: CODE_VERSION,
    node: process.version,
    checks,
    installation,
    events,
    settings: publicSettings(loadSettings()),
    operatorLogs: (await operatorLogs(cluster)).split('\n'),
  });
}

/** Returns the last lines of the operator's logs, or the reason why they are not known. */
async function operatorLogs(cluster: Cluster): Promise<string> {
  try {
    return (await operatorNamespaces(cluster))
      .map(namespace => {
        const logs = spawnSync(
          'kubectl',
          [
            ...['logs', '-l', OPERATOR_SELECTOR, '-n', namespace, '--prefix', `--tail=${LINES}`],
            ...clusterArguments(cluster.options),
          ],
          { encoding: 'utf8', timeout: 60_000, maxBuffer: 64 * 1024 * 1024 },
        );
        return hidePasswords(logs.stdout || logs.stderr || String(logs.error ?? ''));
      })
      .join('');
  } catch (error) {
    if (error instanceof KubeConfigError) return error.message;
    throw error;
  }
}
