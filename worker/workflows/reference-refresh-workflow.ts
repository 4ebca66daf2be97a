import type { ReferenceRefreshInput, ReferenceRefreshResult } from '../contract.ts';
import { activitiesOf, refuseOtherInstallation } from './options.ts';

/** Handles one firing of a schedule of reference data: loads one data set again if its source has changed. */
export async function ReferenceRefreshWorkflow(input: ReferenceRefreshInput): Promise<ReferenceRefreshResult> {
  refuseOtherInstallation(input.installation);
  // It does not start a pool that has no pods, but waits for the next worker. Temporal shows the failure, and the data loaded before stay.
  const activities = activitiesOf(input.installation, {
    startToCloseTimeout: '20 minutes',
    scheduleToCloseTimeout: '1 day',
  });
  return activities.refreshReference(input);
}
