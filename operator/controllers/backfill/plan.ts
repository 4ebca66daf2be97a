import type { Backfill } from '../../../crds/backfill.ts';
import { ANNOTATIONS, FINALIZER, SpecError } from '../../../crds/resource.ts';
import { sentence } from '../../../pipeline/sentence.ts';
import { FINAL_PHASES } from '../../../worker/contract.ts';
import { annotated, invalid, unavailable } from '../plan-types.ts';
import { filterWarnings, warningCondition } from '../warnings.ts';
import { planAbsent } from './absent-workflow.ts';
import { outcomeWarnings, planEnded } from './ended-workflow.ts';
import { type BackfillAction, type BackfillPlan, type ObservedBackfill, workflowIDOf } from './plan-types.ts';
import { planRunning } from './running-workflow.ts';

/**
 * Returns whether the status records the end of the backfill, and the spec has not changed since. Temporal is then not asked again, and its
 * retention does not matter.
 */
export function hasRecordedEnd({ metadata, status }: Backfill): boolean {
  return (
    !metadata.deletionTimestamp &&
    metadata.finalizers?.includes(FINALIZER) === true &&
    status?.observedGeneration === metadata.generation &&
    status?.workflowID !== undefined &&
    status.startedAt !== undefined &&
    status.finishedAt !== undefined &&
    FINAL_PHASES.some(phase => phase === status.phase) &&
    status.conditions?.some(({ type }) => type === 'Complete' || type === 'Failed') === true
  );
}

/** Decides about one Backfill and adds warnings about probable mistakes. `now` is in milliseconds since 1970. */
export function planBackfill(observed: ObservedBackfill, installation: string, now: number): BackfillPlan {
  const plan = decide(observed, installation, now);
  const { object, spec } = observed;
  if (object.metadata.deletionTimestamp || spec instanceof SpecError) return plan;
  const kept = hasRecordedEnd(object) && object.status?.conditions?.find(({ type }) => type === 'Warning');
  if (kept) return { ...plan, own: [...plan.own, kept] };
  const outcome = observed.workflow.known ? outcomeWarnings(spec, observed.workflow.value) : [];
  return { ...plan, own: [...plan.own, ...warningCondition([...outcome, ...filterWarnings(spec)])] };
}

/** Decides in this order: deletion, finalizer, invalid spec, workflow. */
function decide(observed: ObservedBackfill, installation: string, now: number): BackfillPlan {
  const { object, spec, workflow } = observed;
  if (object.metadata.deletionTimestamp) return planDeletion(observed, installation);
  if (!object.metadata.finalizers?.includes(FINALIZER)) {
    return {
      actions: [{ do: 'addFinalizer' }],
      summary: { kind: 'working', reason: 'Accepted', message: 'Accepted; the workflow is started next.' },
      own: [],
    };
  }
  if (spec instanceof SpecError) return invalid(spec.problems);
  if (!workflow.known) return unavailable(workflow.message);
  switch (workflow.value.state) {
    case 'absent':
      return planAbsent({ object, spec, installation, now });
    case 'running':
      return planRunning(observed, spec, workflow.value, installation);
    case 'ended':
      return planEnded({ object, spec, workflow: workflow.value, installation, now });
  }
}

/** Deletion cancels by drain. The resource may go once Temporal has accepted the signal. */
function planDeletion({ object, workflow }: ObservedBackfill, installation: string): BackfillPlan {
  const deleting = (message: string, actions: BackfillAction[]): BackfillPlan => ({
    actions,
    summary: { kind: 'working', reason: 'Deleting', message },
    own: [],
  });
  const release = [{ do: 'removeFinalizer' }] as const;
  if (!object.metadata.finalizers?.includes(FINALIZER)) return deleting('Nothing is left to clean up.', []);
  if (annotated(object, ANNOTATIONS.abandon))
    return deleting('Abandoned: the workflow is left as it is.', [...release]);
  if (!workflow.known) {
    return unavailable(
      `${sentence(workflow.message)} The operator cannot ask the workflow to stop; to delete the Backfill anyway and leave it running, annotate it with ${ANNOTATIONS.abandon}: "true"`,
    );
  }
  if (workflow.value.state !== 'running') return deleting('The workflow has ended.', [...release]);
  const phase = workflow.value.progress?.phase;
  if (phase === 'Draining' || phase === 'Cancelling') {
    return deleting('The workflow takes no new buckets; active ones finish.', [...release]);
  }
  return deleting(
    'The workflow gets a signal to take no new buckets, which Temporal keeps until a worker takes it; active buckets finish.',
    [{ do: 'drain', workflowID: workflowIDOf(object, installation) }, ...release],
  );
}
