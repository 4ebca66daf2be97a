import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { classifyError } from '../../pipeline/runs/failure.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import { WaitSpans } from '../../pipeline/telemetry/wait-spans.ts';
import { ThreadWorkError } from '../../pipeline/threads/errors.ts';
import { OTHER_INSTALLATION, type RunCounts } from '../contract.ts';
import { toFailure } from './failures.ts';
import type { ActivityTools } from './tools.ts';
import { activityWait, type Wait, WaitNote } from './waits.ts';

/** Milliseconds between heartbeats of an activity. A cancellation arrives with the answer. */
const HEARTBEAT_INTERVAL = 5000;

/** Milliseconds between spans that show that an activity waits. */
const WAIT_INTERVAL = 30_000;

/** Heartbeat of an activity, with the progress that a later attempt needs. */
export interface Heartbeat<Details> {
  /** Progress of an earlier attempt. */
  readonly details: Details | undefined;
  send(details: Details): void;
  /** Cause for which the activity waits. */
  readonly wait: WaitNote;
}

/** Details of a heartbeat: the progress (null: none yet), and what the activity waits for. */
interface HeartbeatPayload<Details> {
  readonly reached: Details | null;
  readonly waitsFor?: Wait;
}

/** Returns the progress in the last heartbeat of an earlier attempt. Workers of older versions sent it without the wait. */
export function reachedBefore<Details>(details: unknown): Details | undefined {
  const isBeat = typeof details === 'object' && details !== null && 'reached' in details;
  return isBeat ? ((details as HeartbeatPayload<Details>).reached ?? undefined) : (details as Details | undefined);
}

/**
 * Runs the work of an activity with heartbeats and a signal for its cancellation, and converts its errors for Temporal. Refuses a task of
 * another installation.
 *
 * @param countsOf returns the counts of the progress; they are added to an error, because stored data have been read
 */
export async function activity<T, Details = never>(
  { settings, log, watch }: ActivityTools,
  { installation }: { readonly installation: string },
  work: (signal: AbortSignal, heartbeat: Heartbeat<Details>) => Promise<T>,
  countsOf?: (reached: Details) => RunCounts,
): Promise<T> {
  refuseOther(installation, settings.installation, log);
  const context = Context.current();
  const { activityType, attempt, workflowExecution } = context.info;
  let reached = reachedBefore<Details>(context.info.heartbeatDetails);
  const wait = new WaitNote();
  const spans = new WaitSpans(WAIT_INTERVAL);
  const step = { 'ooni.step': activityType, 'temporal.workflow_id': workflowExecution?.workflowId ?? '' };
  const sendHeartbeat = () => {
    const waitsFor = wait.current() ?? watch?.waitsFor;
    spans.take(waitsFor && { reason: waitsFor.reason, attributes: step });
    context.heartbeat({ reached: reached ?? null, ...(waitsFor && { waitsFor }) } satisfies HeartbeatPayload<Details>);
  };
  const heartbeat: Heartbeat<Details> = {
    details: reached,
    wait,
    send: details => {
      reached = details;
      sendHeartbeat();
    },
  };
  // A heartbeat replaces the previous one, so it repeats the progress.
  const timer = setInterval(sendHeartbeat, HEARTBEAT_INTERVAL);
  try {
    const { cancellationSignal } = context;
    const run = (hung?: AbortSignal) => {
      const signal = hung ? AbortSignal.any([cancellationSignal, hung]) : cancellationSignal;
      return activityWait.run(wait, () => work(signal, heartbeat));
    };
    return await (watch ? watch.during(run) : run());
  } catch (error) {
    const counts = reached && countsOf?.(reached);
    // This includes the stop of a worker: Temporal then gives the activity to another one.
    if (context.cancellationSignal.aborted) {
      // A cancelled run is over; in any other case Temporal expects the rest of the work from another attempt.
      if (!context.cancellationDetails?.cancelRequested) {
        log.info(
          { activity: activityType, attempt },
          `${activityType} is handed over: another attempt continues its work`,
        );
      }
      throw new CancelledFailure('stopped', counts && [counts]);
    }
    const classified = error instanceof ThreadWorkError ? error.failure : classifyError(error);
    const failure = toFailure(classified, attempt, counts);
    const where = { activity: activityType, workflow: workflowExecution?.workflowId, attempt, type: classified.type };
    log.warn(where, `${failure.nonRetryable ? 'failed' : 'will be retried'}: ${classified.message}`);
    throw failure;
  } finally {
    clearInterval(timer);
    spans.take(undefined);
  }
}

/**
 * Throws for a task of another installation, whose archive and database are not those of this worker. Such a task was put into this queue
 * by hand. It fails at once, because no worker of this queue may run it.
 */
function refuseOther(installation: string, ours: string, log: Logger): void {
  if (installation === ours) return;
  const message = `the task belongs to installation "${installation}", and this worker to "${ours}"; start it on the task queues of its own installation`;
  log.warn({ type: OTHER_INSTALLATION }, `failed: ${message}`);
  throw ApplicationFailure.nonRetryable(message, OTHER_INSTALLATION);
}
