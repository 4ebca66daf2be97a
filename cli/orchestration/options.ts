import { type Command, Option } from 'commander';
import { namespaceName, notEmpty } from '../names.ts';
import type { TargetOptions } from './target.ts';

/** Adds the options that choose between Kubernetes and Temporal. */
export function withTargetOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--kubernetes', 'use resources of Kubernetes, which the operator carries out').default(
        undefined,
        undefined,
      ),
    )
    .addOption(new Option('--no-kubernetes', 'use Temporal directly'))
    .option('--context <name>', 'context of the kubeconfig; the current one unless given', notEmpty)
    .option('-n, --namespace <name>', 'namespace of the resource; that of the context unless given', namespaceName)
    .hook('preAction', (_, run) => {
      const { kubernetes, context, namespace } = run.opts<TargetOptions>();
      if (kubernetes === false && (context ?? namespace) !== undefined)
        run.error(
          'error: --context and --namespace choose a place in Kubernetes, so they do not go with --no-kubernetes',
        );
    });
}

/** The paragraph of the help about this choice. */
export const TARGET_HELP = `If a Kubernetes context exists and its cluster has the kinds of pipeline.ooni.org, the command works on resources there, and the
operator carries them out. Otherwise it works on Temporal directly, at the setting temporal_address. The first line on standard error
says which. --kubernetes and --no-kubernetes choose explicitly; --context and --namespace choose Kubernetes, too.`;
