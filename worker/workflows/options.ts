import {
  defineSearchAttributeKey,
  type SearchAttributePair,
  SearchAttributeType,
  type WorkflowDefinitionOptions,
} from '@temporalio/common';
import {
  type ActivityInterfaceFor,
  type ActivityOptions,
  ApplicationFailure,
  proxyActivities,
  workflowInfo,
} from '@temporalio/workflow';
import type { Activities } from '../activities/types.ts';
import { installationOfQueue, OTHER_INSTALLATION, queuesOf, type RunInput } from '../contract.ts';

/**
 * Options of activities. They send a heartbeat every few seconds, so that a dead worker is noticed within the heartbeat timeout. An
 * outage of the archive or of ClickHouse is retried with growing waits for a week, long enough to notice and repair it.
 */
const ACTIVITY_OPTIONS: ActivityOptions = {
  startToCloseTimeout: '12 hours',
  scheduleToCloseTimeout: '7 days',
  heartbeatTimeout: '20 seconds',
  retry: { initialInterval: '2 seconds', backoffCoefficient: 2, maximumInterval: '2 minutes' },
  // The end of a cancelled run is recorded after its last row is written.
  cancellationType: 'WAIT_CANCELLATION_COMPLETED',
};

/**
 * Options for recording the end of a run. The time is limited: a run that is cancelled while ClickHouse is unavailable must end, and the
 * ledger's record of its start shows that it has not completed.
 */
const RECORD_OPTIONS: ActivityOptions = { ...ACTIVITY_OPTIONS, scheduleToCloseTimeout: '15 minutes' };

/** Returns the activities of an installation, on its own queue. `options` replace those above. */
export function activitiesOf(installation: string, options: ActivityOptions = {}): ActivityInterfaceFor<Activities> {
  return proxyActivities<Activities>({ ...ACTIVITY_OPTIONS, taskQueue: queuesOf(installation).activities, ...options });
}

/** Returns the activities for recording the end of a run. */
export function recordsOf(installation: string): Activities {
  return activitiesOf(installation, RECORD_OPTIONS);
}

/**
 * Options of a workflow that ends on the version of the workflow code that it began with. Temporal rejects them from a worker without a
 * version, and such a worker has no deployment name.
 */
export function pinned(): WorkflowDefinitionOptions {
  return workflowInfo().currentDeploymentVersion?.deploymentName ? { versioningBehavior: 'PINNED' } : {};
}

/**
 * Fails a workflow of another installation, which was started on a queue of this one: its archive and database are not those of the
 * workers here. In a replay the queue has another name, and nothing is checked.
 */
export function refuseOtherInstallation(installation: string): void {
  const ours = installationOfQueue(workflowInfo().taskQueue);
  if (ours === undefined || ours === installation) return;
  throw ApplicationFailure.nonRetryable(
    `installation = ${JSON.stringify(installation)}: the task queue belongs to installation "${ours}"; start it on ${queuesOf(installation).workflows}`,
    OTHER_INSTALLATION,
  );
}

const KEYS = {
  installation: defineSearchAttributeKey('OoniInstallation', SearchAttributeType.KEYWORD),
  bucket: defineSearchAttributeKey('OoniBucket', SearchAttributeType.KEYWORD),
  filter: defineSearchAttributeKey('OoniFilter', SearchAttributeType.KEYWORD),
  backfill: defineSearchAttributeKey('OoniBackfill', SearchAttributeType.KEYWORD),
};

/** Returns the search attributes of a run. */
export function attributesOf(run: RunInput): SearchAttributePair[] {
  return [
    { key: KEYS.installation, value: run.installation },
    { key: KEYS.bucket, value: run.bucket },
    { key: KEYS.filter, value: run.filterID },
    ...(run.backfill ? [{ key: KEYS.backfill, value: run.backfill }] : []),
  ];
}
