import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/types.ts';
import type { ReferenceRefreshInput, ReferenceRefreshResult } from '../contract.ts';
import { ACTIVITY_OPTIONS } from './options.ts';

/** The retries end before the next firing, which tries again. Temporal shows the failure, and the data loaded before stay. */
const activities = proxyActivities<Activities>({ ...ACTIVITY_OPTIONS, scheduleToCloseTimeout: '20 minutes' });

/** Handles one firing of a schedule of reference data: loads one data set again if its source has changed. */
export function ReferenceRefreshWorkflow({ dataset }: ReferenceRefreshInput): Promise<ReferenceRefreshResult> {
  return activities.refreshReference(dataset);
}
