import type { SpecError } from '../../../crds/resource.ts';
import type { ScalingDecision, WorkerPool, WorkerPoolSpec } from '../../../crds/worker-pool.ts';
import type { Deployment, DisruptionBudget } from '../../kube/builtin.ts';
import type { Observation } from '../../observation.ts';
import type { Load } from '../../temporal/load.ts';
import type { Plan } from '../plan-types.ts';
import type { Applied } from './applied.ts';
import type { BudgetAction } from './disruption-budget.ts';
import type { PoolCapacity } from './queue-share.ts';
import type { Memory } from './scaling.ts';
import type { ObservedVersions, VersionAction } from './version.ts';

/** A pod of the pool. */
export interface PoolPod {
  readonly name: string;
  readonly ready: boolean;
  /** When the pod became ready, or else its creation, in milliseconds since 1970. */
  readonly since: number;
  /** pod-deletion-cost of the pod; undefined when it has none. */
  readonly cost?: string;
  /** Cause that keeps the pod from running, as a sentence. */
  readonly problem?: string;
}

/** All inputs of a decision about a WorkerPool. */
export interface ObservedPool {
  readonly object: WorkerPool;
  readonly spec: WorkerPoolSpec | SpecError;
  /** The Deployment with our name, of any owner. */
  readonly deployment: Deployment | undefined;
  /** The PodDisruptionBudget with our name, of any owner. */
  readonly budget: DisruptionBudget | undefined;
  readonly pods: readonly PoolPod[];
  readonly load: Observation<Load>;
  /** Whether a run of the installation is active, as far as the status of Backfills and PipelineSchedules says. */
  readonly activeRuns: boolean;
  readonly versions: ObservedVersions;
  /** Hash of the ConfigMap and the Secret of the pods; undefined while they cannot be read. */
  readonly settingsHash?: string;
  /** Other pools of the installation, which may serve the same queues. */
  readonly others: readonly PoolCapacity[];
  /** Milliseconds of a monotonic clock, for the memory. */
  readonly monotonic: number;
  /** Memory of autoscaling; undefined at first. */
  readonly memory: Memory | undefined;
  /** The last state that this process applied; undefined at first. */
  readonly applied: Applied | undefined;
}

export type PoolAction =
  | VersionAction
  | BudgetAction
  /** Server-side apply; `force` takes fields back from other managers. */
  | { readonly do: 'apply'; readonly deployment: Deployment; readonly force: boolean }
  /** Sets the deletion cost of a pod. Kubernetes removes the pods with the lowest cost first. */
  | { readonly do: 'cost'; readonly pod: string; readonly cost: string };

export interface PoolPlan extends Plan<PoolAction> {
  readonly desired?: number;
  readonly decision?: ScalingDecision;
  readonly memory?: Memory;
  /** Former versions of the workflow code that still have pods. */
  readonly drainingVersions?: readonly string[];
}
