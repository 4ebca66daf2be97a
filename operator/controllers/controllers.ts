import type { Settings } from '../../pipeline/settings.ts';
import type { Caches } from '../caches.ts';
import type { Change } from '../kube/cache.ts';
import { Controller } from '../kube/controller.ts';
import type { Instruments } from '../kube/instruments.ts';
import { type KubeObject, keyOf, ownerKeys } from '../kube/resource.ts';
import type { Ledger } from '../ledger.ts';
import { blockerOfRuns } from '../temporal/backfills.ts';
import type { Temporal } from '../temporal/connection.ts';
import type { Load } from '../temporal/load.ts';
import { shared } from '../temporal/shared-request.ts';
import { readVersions } from '../temporal/versions.ts';
import { backfillReconciler } from './backfill/reconciler.ts';
import { scheduleReconciler } from './pipeline-schedule/reconciler.ts';
import { Polling } from './polling.ts';
import { type Context, needsPass } from './reconcile.ts';
import { WORKER_POOLS } from './resources.ts';
import { budgetMatters, podMatters, poolKeys, poolReconciler } from './worker-pool/reconciler.ts';

/** Milliseconds for which all pools share one answer of Temporal. */
export const SHARED_FOR = 5_000;

/** Milliseconds for which all Backfills and PipelineSchedules share one answer about what blocks the runs. */
const BLOCKER_TTL = 10_000;

/** Shares of the calls to Temporal for repeated reads. The rest is free for new and changed resources. */
const REPEATED = { backfills: 0.3, schedules: 0.2 };

/** Sources from which the controllers observe the actual state. */
export interface Sources {
  readonly caches: Caches;
  readonly temporal: Temporal;
  readonly ledger: Ledger;
  /** Returns the load of the task queues. */
  readonly load: () => Promise<Load>;
}

/** Returns the controllers of the three kinds. They do not run yet. */
export function createControllers(context: Context, sources: Sources, settings: Settings, instruments: Instruments) {
  const { caches, temporal, ledger, load } = sources;
  const { schedules, backfills, pools, deployments, budgets, pods, workerSettings } = caches;
  const callsPerSecond = settings.operator_temporal_calls_per_second;
  const ui = { url: settings.temporal_ui_url, namespace: settings.temporal_namespace };
  const when = (change: Change<KubeObject>) => needsPass(context.written, change);
  const blockedElsewhere = shared(context.clock, BLOCKER_TTL, () =>
    blockerOfRuns(temporal, settings.installation, context.clock.now()),
  );
  const runs = (share: number) => ({ temporal, ui, polling: new Polling(share * callsPerSecond), blockedElsewhere });
  const versions = shared(context.clock, SHARED_FOR, () => readVersions(temporal, settings.installation));
  /** Returns the pools whose pods read a ConfigMap or a Secret. */
  const poolsIn = ({ metadata }: KubeObject) =>
    [...pools.list()].filter(pool => pool.metadata.namespace === metadata.namespace).map(keyOf);
  return [
    new Controller({
      name: 'pipelineschedule',
      cache: schedules,
      reconcile: scheduleReconciler(context, { ...runs(REPEATED.schedules), ledger, callsPerSecond }),
      when,
      instruments,
      concurrency: 8,
    }),
    new Controller({
      name: 'backfill',
      cache: backfills,
      reconcile: backfillReconciler(context, runs(REPEATED.backfills)),
      when,
      instruments,
      // A Backfill that waits for a worker's answer must not block the others.
      concurrency: 8,
    }),
    new Controller({
      name: 'workerpool',
      cache: pools,
      reconcile: poolReconciler(
        context,
        { temporal, ui, pools, backfills, schedules, deployments, pods, budgets, load, versions, workerSettings },
        settings,
      ),
      when,
      watches: [
        { cache: deployments, keys: ownerKeys(WORKER_POOLS) },
        { cache: budgets, keys: ownerKeys(WORKER_POOLS), when: budgetMatters },
        { cache: pods, keys: poolKeys, when: podMatters },
        ...workerSettings.caches.map(cache => ({ cache, keys: poolsIn, optional: true })),
      ],
      instruments,
    }),
  ] as const;
}
