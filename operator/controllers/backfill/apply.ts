import type { Backfill } from '../../../crds/backfill.ts';
import { FINALIZER } from '../../../crds/resource.ts';
import type { Client } from '../../kube/client.ts';
import { addFinalizer, removeFinalizer } from '../../kube/finalizer.ts';
import type { Stored } from '../../kube/resource.ts';
import { startBackfill, updateBackfill } from '../../temporal/backfills.ts';
import type { Temporal } from '../../temporal/connection.ts';
import { BACKFILLS } from '../resources.ts';
import type { BackfillAction } from './plan.ts';

/** Carries out one action of a plan. Returns true when the resource may be gone afterwards. */
export async function apply(
  client: Client,
  temporal: Temporal,
  object: Stored<Backfill>,
  action: BackfillAction,
  signal: AbortSignal,
): Promise<boolean> {
  switch (action.do) {
    case 'addFinalizer':
      await addFinalizer(client, BACKFILLS, object, FINALIZER, { signal });
      return false;
    case 'removeFinalizer':
      await removeFinalizer(client, BACKFILLS, object, FINALIZER, { signal });
      return true;
    case 'delete':
      await client.delete(BACKFILLS, object.metadata, { uid: object.metadata.uid, signal });
      return true;
    case 'start':
      await startBackfill(temporal, action);
      return false;
    case 'update':
      await updateBackfill(temporal, action.workflowID, action.message, action.key);
      return false;
  }
}
