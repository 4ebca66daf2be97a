import { setWorkflowOptions } from '@temporalio/workflow';
import type { ReferenceRefreshInput, ReferenceRefreshResult } from '../contract.ts';
import { activitiesOf, pinned, refuseOtherInstallation } from './options.ts';

/** Handles one firing of a schedule of reference data: loads one data set again if its source has changed. */
export async function ReferenceRefreshWorkflow(input: ReferenceRefreshInput): Promise<ReferenceRefreshResult> {
  refuseOtherInstallation(input.installation);
  // The retries end before the next firing, which tries again. Temporal shows the failure, and the data loaded before stay.
  const activities = activitiesOf(input.installation, { scheduleToCloseTimeout: '20 minutes' });
  return activities.refreshReference(input);
}

setWorkflowOptions(pinned, ReferenceRefreshWorkflow);
