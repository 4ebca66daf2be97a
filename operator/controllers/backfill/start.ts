import { filterIDOf, normaliseFilter } from '../../../pipeline/filter.ts';
import { wasCancelledBeforeStart } from './end.ts';
import { type BackfillAction, type BackfillPlan, type Idle, workflowIDOf } from './plan-types.ts';

/**
 * Why a workflow is started, which decides the buckets that it runs. `First` and `Planned`: as `reprocess` says. `FailedOnes`: the failed
 * buckets of a workflow that reached its end. `Missing`: all buckets that are not done, of a workflow that did not reach its end and has
 * buckets that it never began.
 */
type Beginning = 'First' | 'Planned' | 'FailedOnes' | 'Missing';

/**
 * Returns the plan that starts a workflow.
 *
 * @param before start of the first workflow, for a further attempt or a restored resource, in milliseconds since 1970.
 */
export function start(
  { object, spec, installation }: Pick<Idle, 'object' | 'spec' | 'installation'>,
  beginning: Beginning,
  before?: number,
): BackfillPlan {
  const { startAt, endAt, granularity, stages, order, maxActiveRuns, dryRun, attempt } = spec;
  const filter = normaliseFilter(spec);
  // A further attempt of a backfill that replaces everything does not replace again what it has replaced already.
  const since = spec.reprocess === 'All' ? before : undefined;
  const action: BackfillAction = {
    do: 'start',
    workflowID: workflowIDOf(object, installation),
    attempt,
    again: beginning !== 'First',
    ...(since !== undefined && { startedAt: since }),
    input: {
      installation,
      startAt,
      endAt,
      granularity,
      filter,
      filterID: filterIDOf(filter),
      stages,
      order,
      reprocess: beginning === 'Missing' && spec.reprocess === 'None' ? 'Failed' : spec.reprocess,
      ...(spec.allowShrink && { allowShrink: true }),
      maxActiveRuns,
      suspended: spec.suspend,
      dryRun,
      attempt: beginning === 'FailedOnes' ? attempt : 1,
      ...(since !== undefined && (beginning === 'Missing' || beginning === 'First') && { since }),
    },
  };
  return {
    actions: [action],
    summary: { kind: 'working', reason: 'Starting', message: 'The workflow is being started.' },
    own: [],
    after: 0,
  };
}

/** Starts the planned work, unless it was cancelled before it began. */
export function afterDryRun(planned: Idle): BackfillPlan {
  return wasCancelledBeforeStart(planned) ?? start(planned, 'Planned');
}
