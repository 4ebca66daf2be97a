import { DATASETS, type DatasetName } from '../../pipeline/reference/datasets.ts';
import { referenceScheduleIDOf, WORKFLOWS } from '../../worker/contract.ts';
import { hashOf } from '../hash.ts';
import type { DescribedSchedule, PauseState, ScheduleRequest } from '../temporal/schedules.ts';

export type ReferenceAction =
  | { readonly do: 'nothing' }
  | { readonly do: 'create'; readonly pause: PauseState }
  | { readonly do: 'update'; readonly pause: PauseState }
  /** Leaves a schedule of that id that is not ours unchanged, and reports it. */
  | { readonly do: 'refuse' };

/** Seconds. Missed firings are not repeated: the next one loads the current data. */
const CATCH_UP = 60;

/** Returns the schedule of a data set. It fires when it is created, so that a new installation need not wait for it. */
export function referenceRequest(installation: string, dataset: DatasetName): ScheduleRequest {
  const id = referenceScheduleIDOf(installation, dataset);
  const content = {
    id,
    installation,
    launchID: id,
    ownerUID: `installation/${installation}`,
    cron: [DATASETS[dataset].refresh],
    timeZone: 'Etc/UTC',
    overlap: 'Skip',
    catchUpWindow: CATCH_UP,
    workflowType: WORKFLOWS.referenceRefresh,
    summary: `reference data: ${dataset}`,
    input: { installation, dataset },
    attributes: { OoniInstallation: installation },
    fireWhenMade: true,
  } as const;
  return { ...content, hash: hashOf(content) };
}

/**
 * Returns the action that makes the schedule as desired. It undoes a change that somebody made in Temporal, but a pause stays. A schedule
 * that was updated and has no record of its content may have been changed.
 */
export function planReference(request: ScheduleRequest, seen: DescribedSchedule | undefined): ReferenceAction {
  if (!seen) return { do: 'create', pause: { paused: false, note: '' } };
  if (seen.ownerUID !== request.ownerUID) return { do: 'refuse' };
  const asMade = seen.recorded === undefined && seen.updatedAt === undefined;
  if (seen.hash === request.hash && (asMade || seen.recorded === seen.content)) return { do: 'nothing' };
  return { do: 'update', pause: { paused: seen.paused, note: seen.note } };
}
