import { BACKFILL, type Backfill } from '../../../crds/backfill.ts';
import { FINALIZER } from '../../../crds/resource.ts';
import { addFinalizer, removeFinalizer } from '../../kube/finalizer.ts';
import { keyOf, type Stored } from '../../kube/resource.ts';
import type { Observation } from '../../observation.ts';
import {
  type BackfillState,
  drainBackfill,
  KnownProgress,
  observeBackfill,
  startBackfill,
  updateBackfill,
} from '../../temporal/backfills.ts';
import { WorkerSilence } from '../../temporal/silence.ts';
import { REFRESH } from '../plan-types.ts';
import {
  ask,
  type Context,
  NOT_ASKED,
  needsFinalizer,
  type RunSources,
  reconciler,
  type Systems,
  specOf,
} from '../reconcile.ts';
import { BACKFILLS } from '../resources.ts';
import { hasRecordedEnd, planBackfill } from './plan.ts';
import { type BackfillAction, workflowIDOf } from './plan-types.ts';
import { ProgressWatch } from './progress-watch.ts';
import { keep, restored, type Sample, sampleOf } from './rate.ts';
import { backfillStatus } from './status.ts';

/** Calls to Temporal of a pass over a running Backfill, at most. */
const CALLS = 3;

/** Reconciles Backfills. */
export function backfillReconciler(context: Context, { temporal, ui, polling, blockedElsewhere }: RunSources) {
  const { client, installation } = context;
  /** Progress by time, from which the rate is computed. After a restart it begins with the rate in the status. */
  const samples = new Map<string, Sample[]>();
  const progress = new ProgressWatch();
  const silence = new WorkerSilence(context.clock);
  const known = new KnownProgress();

  return reconciler(context, {
    resource: BACKFILLS,
    finalizer: FINALIZER,
    async observe(object, now) {
      const key = keyOf(object);
      const spec = specOf(BACKFILL, object);
      if (needsFinalizer(object)) return { object, spec, workflow: NOT_ASKED };
      const workflow: Observation<BackfillState> = hasRecordedEnd(object)
        ? { known: true, value: { state: 'absent' } }
        : await ask(
            observeBackfill(temporal, workflowIDOf(object, installation), now, {
              elsewhere: blockedElsewhere,
              silence,
              known,
            }),
          );
      polling.note(key, !workflow.known || workflow.value.state === 'running' ? CALLS : 0);
      if (workflow.known && workflow.value.state !== 'running') samples.delete(key);
      if (workflow.known && workflow.value.state === 'running' && workflow.value.progress) {
        const sample = sampleOf(workflow.value.progress, now);
        samples.set(key, keep(samples.get(key) ?? restored(object.status ?? {}, sample), sample));
      }
      const moment = { wall: now, monotonic: context.clock.monotonic() };
      const standstill = workflow.known ? progress.look(key, workflow.value, object.status ?? {}, moment) : {};
      return { object, spec, workflow, ...standstill };
    },
    plan: (observed, now) => planBackfill(observed, installation, now),
    apply: (object, action, signal) => apply({ client, temporal, signal }, object, action),
    status(observed, plan, now) {
      const known = samples.get(keyOf(observed.object)) ?? [];
      return backfillStatus(observed, plan, { samples: known, installation, ui, now });
    },
    // A message to a workflow is followed at once.
    interval: after => (after === REFRESH.soon ? after : polling.interval(after)),
    forget(key) {
      polling.note(key, 0);
      samples.delete(key);
      progress.forget(key);
    },
  });
}

/** Carries out one action of a plan. Returns true when the resource may be gone afterwards. */
async function apply(
  { client, temporal, signal }: Systems,
  object: Stored<Backfill>,
  action: BackfillAction,
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
    case 'drain':
      await drainBackfill(temporal, action.workflowID);
      return false;
    case 'update':
      await updateBackfill(temporal, action.workflowID, action.message, action.key);
      return false;
  }
}
