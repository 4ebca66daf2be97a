import { BACKFILL, type Backfill } from '../../../crds/backfill.ts';
import { observeBackfill } from '../../temporal/backfills.ts';
import type { Temporal } from '../../temporal/connection.ts';
import { ask, specOf } from '../reconcile.ts';
import { type ObservedBackfill, workflowIDOf } from './plan.ts';

/** Reads the state of a Backfill and its workflow. */
export async function observe(
  temporal: Temporal,
  object: Backfill,
  installation: string,
  now: number,
): Promise<ObservedBackfill> {
  return {
    object,
    spec: specOf(BACKFILL, object),
    workflow: await ask(observeBackfill(temporal, workflowIDOf(object, installation), now)),
  };
}
