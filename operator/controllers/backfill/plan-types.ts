import type { Backfill, BackfillSpec } from '../../../crds/backfill.ts';
import type { SpecError } from '../../../crds/resource.ts';
import { backfillWorkflowID } from '../../../worker/contract.ts';
import type { Observation } from '../../observation.ts';
import type { BackfillMessage, BackfillStart, BackfillState } from '../../temporal/backfills.ts';
import type { Plan } from '../plan-types.ts';
import type { Standstill } from './progress-watch.ts';

/** All inputs of a decision about a Backfill. */
export interface ObservedBackfill extends Standstill {
  readonly object: Backfill;
  readonly spec: BackfillSpec | SpecError;
  readonly workflow: Observation<BackfillState>;
}

/** A valid Backfill without a running workflow. */
export interface Idle {
  readonly object: Backfill;
  readonly spec: BackfillSpec;
  readonly installation: string;
  readonly now: number;
}

export type BackfillAction =
  | { readonly do: 'addFinalizer' | 'removeFinalizer' }
  /** Deletes the resource after its ttlAfterFinished. */
  | { readonly do: 'delete' }
  | ({ readonly do: 'start' } & BackfillStart)
  /** Asks the workflow to start no more runs, whether or not a worker is there. */
  | { readonly do: 'drain'; readonly workflowID: string }
  | { readonly do: 'update'; readonly workflowID: string; readonly message: BackfillMessage; readonly key: string };

export type BackfillPlan = Plan<BackfillAction>;

/** Longest time in milliseconds between two passes over a resource that waits for a date. */
export const HOUR = 3_600_000;

/** Returns the id of the workflow of a Backfill. */
export function workflowIDOf(object: Backfill, installation: string): string {
  const { namespace = '', name, uid = '' } = object.metadata;
  return backfillWorkflowID(installation, namespace, name, uid);
}
