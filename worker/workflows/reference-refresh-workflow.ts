import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/types.ts';
import type { ReferenceRefreshInput, ReferenceRefreshResult } from '../contract.ts';
import { ACTIVITY_OPTIONS } from './options.ts';

/** Tries for less than the time to the next firing, which tries anew; a failure is seen in Temporal, and the data loaded before stay. */
const activities = proxyActivities<Activities>({ ...ACTIVITY_OPTIONS, scheduleToCloseTimeout: '20 minutes' });

/** One firing of a schedule of reference data: loads one data set anew, if its source has changed. */
export function ReferenceRefreshWorkflow({ dataset }: ReferenceRefreshInput): Promise<ReferenceRefreshResult> {
  return activities.refreshReference(dataset);
}
