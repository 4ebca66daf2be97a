import { Command } from 'commander';
import { GROUP } from '../../crds/resource.ts';
import type { WorkerPool } from '../../crds/worker-pool.ts';
import { WORKER_POOLS } from '../../operator/controllers/resources.ts';
import { confirmed } from '../confirmation.ts';
import { EXIT_STATUS } from '../help.ts';
import { resourceName } from '../names.ts';
import { type ClusterOptions, patchUnchanged, resourceNamed, withCluster, withClusterOptions } from './cluster.ts';

/** Annotation with the size of a pool before `drain` or `pause`, as JSON: replicas or autoscaling. `resume` restores it. */
export const BEFORE = `${GROUP}/size-before`;

interface Options extends ClusterOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
}

interface Change {
  readonly name: string;
  readonly description: string;
  readonly help: string;
  /** Returns the patch, or a sentence if there is nothing to do. */
  readonly patch: (pool: WorkerPool) => Patch | string;
  readonly question?: string;
  readonly done: string;
}

interface Patch {
  readonly metadata: { readonly annotations: Record<string, string | null> };
  readonly spec: { readonly replicas: number | null; readonly autoscaling?: unknown };
}

type Size = { readonly replicas?: number | undefined; readonly autoscaling?: unknown };

/** Returns the patch that fixes the size of a pool and remembers the size before. */
export function fixedSize({ metadata, spec }: WorkerPool, replicas: number): Patch {
  const before: Size = spec.autoscaling
    ? { autoscaling: spec.autoscaling }
    : spec.replicas === undefined
      ? {}
      : { replicas: spec.replicas };
  // After pause and drain, resume restores the size before both.
  const remembered = metadata.annotations?.[BEFORE] ?? JSON.stringify(before);
  return { metadata: { annotations: { [BEFORE]: remembered } }, spec: { replicas, autoscaling: null } };
}

const CHANGES: readonly Change[] = [
  {
    name: 'drain',
    description: 'Stop all workers of a pool; they finish or hand over their work',
    help: 'Sets the number of pods to 0. Each pod has the drainTimeout of the pool. resume restores the size.',
    patch: pool => (pool.spec.replicas === 0 && !pool.spec.autoscaling ? 'already has no workers' : fixedSize(pool, 0)),
    question: 'Work waits until other workers take it or the pool is resumed.',
    done: 'is drained: its pods stop',
  },
  {
    name: 'pause',
    description: 'Keep the number of pods of an autoscaled pool as it is',
    help: 'Replaces autoscaling with the present number of pods. resume restores it.',
    patch: pool => {
      if (!pool.spec.autoscaling) return 'is not autoscaled';
      const replicas = pool.status?.desiredReplicas ?? pool.status?.replicas;
      return replicas === undefined ? 'has no known number of pods yet' : fixedSize(pool, replicas);
    },
    done: 'keeps its number of pods',
  },
  {
    name: 'resume',
    description: 'Restore the size that a pool had before drain or pause',
    help: 'Restores replicas or autoscaling.',
    patch: ({ metadata }) => {
      const text = metadata.annotations?.[BEFORE];
      if (text === undefined) return 'was neither drained nor paused by this command';
      const { replicas, autoscaling }: Size = JSON.parse(text);
      return {
        metadata: { annotations: { [BEFORE]: null } },
        // A pool without a size keeps the one that it has; one pod is the size of a new pool.
        spec: { replicas: autoscaling ? null : (replicas ?? 1), autoscaling: autoscaling ?? null },
      };
    },
    done: 'has its former size again',
  },
];

/** Creates `kubectl ooni pool` with its commands. */
export function poolCommand(): Command {
  const pool = new Command('pool').description('Drain, pause and resume worker pools');
  for (const change of CHANGES) {
    const command = withClusterOptions(new Command(change.name))
      .description(change.description)
      .argument('<name>', 'name of the WorkerPool', resourceName)
      .option('--dry-run', 'let the API server check it; change nothing');
    if (change.question) command.option('--yes', 'do not ask for confirmation');
    command
      .addHelpText('after', `\n${change.help}\n\n${EXIT_STATUS} Nothing to do is not an error.`)
      .action((name: string, options: Options) =>
        withCluster(`pool ${change.name}`, options, async ({ client, namespace }) => {
          const object = await resourceNamed({ client, namespace }, WORKER_POOLS, name);
          const patch = change.patch(object);
          if (typeof patch === 'string') {
            console.log(`workerpool/${name} ${patch}; nothing was changed`);
            return 0;
          }
          if (change.question && !options.dryRun) {
            const question = `Stop all workers of workerpool/${name}? ${change.question}`;
            if (!(await confirmed(`kubectl ooni pool ${change.name}`, question, options))) return 1;
          }
          await patchUnchanged(client, WORKER_POOLS, object, patch, { dryRun: options.dryRun ?? false });
          console.log(
            options.dryRun
              ? `workerpool/${name}: would set ${JSON.stringify(patch.spec)}`
              : `workerpool/${name} ${change.done}`,
          );
          return 0;
        }),
      );
    pool.addCommand(command);
  }
  return pool;
}
