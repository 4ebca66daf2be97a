import { lastCompleteBucket } from '../../pipeline/bucket.ts';
import { runWorkflowID, type ScheduledRunInput } from '../../worker/contract.ts';
import { type BlockedBy, type BlockedRun, blockerOf, causeOf, pendingWork } from './blocked-by.ts';
import type { Temporal } from './connection.ts';
import type { Launch } from './launches.ts';
import { nominalTime } from './nominal-time.ts';

/** Run that a schedule has started, or waits for. */
export interface ActiveRun {
  readonly bucket: string;
  /** Workflow of the firing, which starts the run of the bucket as its child. */
  readonly launchID: string;
  /** Workflow of the run. */
  readonly workflowID: string;
}

/** Returns the active run of the oldest firing of a schedule; undefined when none is active. Pure. */
export function activeRunOf(
  { installation, granularity, filterID }: Pick<ScheduledRunInput, 'installation' | 'granularity' | 'filterID'>,
  launches: readonly Pick<Launch, 'workflowID' | 'state'>[],
): ActiveRun | undefined {
  const [oldest] = launches
    .filter(({ state }) => state === 'Running')
    .flatMap(({ workflowID }) => {
      const at = nominalTime(workflowID);
      return at === undefined ? [] : [{ at, workflowID }];
    })
    .sort((a, b) => a.at - b.at);
  if (!oldest) return undefined;
  const bucket = lastCompleteBucket(oldest.at, granularity);
  return { bucket, launchID: oldest.workflowID, workflowID: runWorkflowID(installation, filterID, bucket) };
}

/**
 * Returns the cause that blocks a run of a schedule; undefined when nothing blocks it, or when it has ended. Throws the errors of
 * `Temporal.call`.
 *
 * @param now milliseconds since 1970
 * @param elsewhere returns the cause that blocks other runs, whose activities may hold all slots
 */
export async function observeBlockedRun(
  temporal: Temporal,
  { bucket, launchID, workflowID }: ActiveRun,
  now: number,
  elsewhere: () => Promise<BlockedBy | undefined>,
): Promise<BlockedRun | undefined> {
  const run = await pendingWork(temporal, workflowID);
  const blocked = run && blockerOf(run, now);
  if (blocked) return { ...(await causeOf(blocked, elsewhere)), bucket, workflowID };
  if (run) return undefined;
  const launch = await pendingWork(temporal, launchID);
  const cause = launch && blockerOf(launch, now);
  return cause && { ...(await causeOf(cause, elsewhere)), bucket, workflowID: launchID };
}
