import { DATASET, type DatasetName } from '../../pipeline/reference/datasets.ts';
import { referenceScheduleId, WORKFLOWS } from '../../worker/contract.ts';
import { hashOf } from '../hash.ts';
import type { PauseState, ScheduleRequest, ScheduleState } from '../temporal/schedules.ts';

export type ReferenceAction =
  | { readonly do: 'nothing' }
  | { readonly do: 'create'; readonly pause: PauseState }
  | { readonly do: 'update'; readonly pause: PauseState }
  /** A schedule of that id that is not ours: left alone, and said. */
  | { readonly do: 'refuse' };

/** Missed firings are not made up: the next one loads what there is then. */
const CATCH_UP = 60;

/** The schedule of a data set. Fires when it is made, so that a new installation does not wait for it. */
export function referenceRequest(installation: string, dataset: DatasetName): ScheduleRequest {
  const id = referenceScheduleId(installation, dataset);
  const asked = {
    id,
    launchID: id,
    ownerUID: `installation/${installation}`,
    cron: [DATASET[dataset].refresh],
    timeZone: 'Etc/UTC',
    overlap: 'Skip',
    catchUpWindow: CATCH_UP,
    workflowType: WORKFLOWS.referenceRefresh,
    summary: `reference data: ${dataset}`,
    input: { dataset },
    attributes: { OoniInstallation: installation },
    fireWhenMade: true,
  } as const;
  return { ...asked, hash: hashOf(asked) };
}

/** What is to be done so that the schedule is as asked. A person may pause it in Temporal: that is kept. */
export function planReference(request: ScheduleRequest, seen: ScheduleState | undefined): ReferenceAction {
  if (!seen) return { do: 'create', pause: { paused: false, note: '' } };
  if (seen.ownerUID !== request.ownerUID) return { do: 'refuse' };
  if (seen.hash === request.hash) return { do: 'nothing' };
  return { do: 'update', pause: { paused: seen.paused, note: seen.note } };
}
