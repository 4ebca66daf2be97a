import { type BlockedBy, type BlockedRun, blockerOf, causeOf, pendingWork } from './blocked-by.ts';
import type { Temporal } from './connection.ts';

/** Run that a schedule has started, or waits for. */
export interface ActiveRun {
  readonly bucket: string;
  /** Workflow of the firing, which starts the run of the bucket as its child. */
  readonly launchID: string;
  /** Workflow of the run. */
  readonly runID: string;
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
  { bucket, launchID, runID }: ActiveRun,
  now: number,
  elsewhere: () => Promise<BlockedBy | undefined>,
): Promise<BlockedRun | undefined> {
  const run = await pendingWork(temporal, runID);
  const blocked = run && blockerOf(run, now);
  if (blocked) return { ...(await causeOf(blocked, elsewhere)), bucket, workflowID: runID };
  if (run) return undefined;
  const launch = await pendingWork(temporal, launchID);
  const cause = launch && blockerOf(launch, now);
  return cause && { ...(await causeOf(cause, elsewhere)), bucket, workflowID: launchID };
}
