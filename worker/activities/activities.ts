import { otherRunActivities } from './other-run-activities.ts';
import { referenceActivities } from './reference-activities.ts';
import { runActivities } from './run-activities.ts';
import type { ActivityTools } from './tools.ts';
import type { Activities } from './types.ts';
import { workActivities } from './work-activities.ts';

/** Returns the activities of this worker. All send heartbeats, all can be repeated, and failures.ts classifies all their errors. */
export function createActivities(tools: ActivityTools): Activities {
  return {
    ...runActivities(tools),
    ...workActivities(tools),
    ...otherRunActivities(tools),
    ...referenceActivities(tools),
  };
}
