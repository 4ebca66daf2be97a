import {
  type Client,
  QueryNotRegisteredError,
  QueryRejectedError,
  type WorkflowExecutionDescription,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import {
  BACKFILL_MESSAGES,
  type BackfillInput,
  type BackfillProgress,
  PRIORITIES,
  WORKFLOWS,
} from '../../worker/contract.ts';
import {
  type BlockedBy,
  type BlockedRun,
  blockedByOf,
  blockerOf,
  causeOf,
  failingTask,
  NO_ANSWER,
  NO_WORKER,
  pendingWork,
  progressKeyOf,
} from './blocked-by.ts';
import type { Temporal } from './connection.ts';
import { describeWorkflow } from './describe-workflow.ts';
import { NoWorkerError, TemporalRejected, TemporalUnavailable } from './errors.ts';
import type { WorkerSilence } from './silence.ts';
import { startWorkflow } from './start-workflow.ts';

/** Temporal's name for the end of a workflow: COMPLETED, FAILED, TERMINATED, CANCELLED, TIMED_OUT. */
export type Ending = string;

/** State of a Backfill's workflow in Temporal. */
export type BackfillState = { readonly state: 'absent' } | RunningBackfill | EndedBackfill;

export interface RunningBackfill {
  readonly state: 'running';
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Attempt at the start of the workflow; `progress.attempt` is the current one. */
  readonly attempt: number;
  /** Absent when no worker answered in time: the workflow runs, but its progress is unknown. */
  readonly progress?: BackfillProgress | undefined;
  /** No worker that takes Workflows answered. */
  readonly silent?: true;
  /** Mark that changes when a pending activity of the oldest active run progresses or is tried again. Absent while no run is active. */
  readonly pulse?: string;
  /** Cause that blocks the planning, or else the oldest active run. */
  readonly blockedBy?: BlockedRun;
}

export interface EndedBackfill {
  readonly state: 'ended';
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attempt: number;
  readonly ending: Ending;
  /** Result of the workflow; absent when it failed, timed out, or was ended by hand. */
  readonly result?: BackfillProgress;
  readonly message: string;
}

/** Milliseconds to wait for the answer of a worker, which comes within milliseconds when one is available. */
const ANSWER = 4_000;
/** Milliseconds after the start of a workflow during which a missing answer is normal, because a worker may not have taken it yet. */
const FIRST_TASK = 10_000;

/** Facts about the installation that all backfills share. */
export interface Surroundings {
  /** Returns the cause that blocks other runs, whose activities may hold all slots. */
  readonly elsewhere?: () => Promise<BlockedBy | undefined>;
  readonly silence?: WorkerSilence;
  readonly known?: KnownProgress;
}

/** Number of backfills whose progress is remembered. */
const REMEMBERED = 10_000;
/** Milliseconds for which a progress is used again. The next query shows whether a worker still answers. */
const REUSE = 15_000;

/**
 * Remembers the progress of running backfills. Progress is computed from the history of the workflow alone, so while the history does not
 * grow, it needs no query, for which a worker may have to replay the history.
 */
export class KnownProgress {
  readonly #known = new Map<
    string,
    { readonly version: string; readonly at: number; readonly progress: BackfillProgress }
  >();

  /** Returns the progress of a workflow; undefined when the history has grown or the progress is old. */
  get(workflowID: string, version: string, now: number): BackfillProgress | undefined {
    const known = this.#known.get(workflowID);
    return known?.version === version && Math.abs(now - known.at) < REUSE ? known.progress : undefined;
  }

  /** Notes the progress that a query returned, for the version of the history from before the query. */
  note(workflowID: string, version: string, now: number, progress: BackfillProgress): void {
    this.#known.delete(workflowID);
    this.#known.set(workflowID, { version, at: now, progress });
    if (this.#known.size > REMEMBERED) this.#known.delete(this.#known.keys().next().value as string);
  }

  forget(workflowID: string): void {
    this.#known.delete(workflowID);
  }
}

/**
 * Returns the state of a backfill's workflow with its progress or its result. Throws the errors of `Temporal.call`.
 *
 * @param now milliseconds since 1970
 */
export function observeBackfill(
  temporal: Temporal,
  workflowID: string,
  now: number,
  surroundings: Surroundings = {},
): Promise<BackfillState> {
  return temporal.call(`looking up workflow ${workflowID}`, async client => {
    const found = await describeWorkflow(client, workflowID);
    if (!found) return { state: 'absent' };
    const attempt = typeof found.memo?.attempt === 'number' ? found.memo.attempt : 1;
    // The memo has the start of the first run of the chain, for a run that was continued.
    const startedAt =
      (typeof found.memo?.startedAt === 'number' ? found.memo.startedAt : undefined) ?? found.startTime.getTime();
    if (found.status.name === 'RUNNING') {
      const running = { temporal, client, found, startedAt, now };
      return { state: 'running', startedAt, attempt, ...(await observeRunning(running, surroundings)) };
    }
    surroundings.known?.forget(workflowID);
    return { state: 'ended', startedAt, attempt, ...(await observeEnd(client, found)) };
  });
}

interface RunningWorkflow {
  readonly temporal: Temporal;
  readonly client: Client;
  readonly found: WorkflowExecutionDescription;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly now: number;
}

/** Returns the progress of a running backfill, and what blocks it. */
async function observeRunning(
  { temporal, client, found, startedAt, now }: RunningWorkflow,
  { elsewhere = async () => undefined, silence, known }: Surroundings,
): Promise<Pick<RunningBackfill, 'progress' | 'silent' | 'pulse' | 'blockedBy'>> {
  const { workflowId: workflowID } = found;
  // Such a workflow does not answer a query.
  const failing = await failingTask(client, found.raw);
  if (failing) return { blockedBy: { ...failing, workflowID } };
  const version = `${found.runId} ${found.historyLength}`;
  const before = found.raw.pendingWorkflowTask ? undefined : known?.get(workflowID, version, now);
  const ask = () => (silence?.expected() ? 'silence' : queryProgress(temporal, workflowID, silence));
  const answer = before ?? (await ask());
  const progress = answer === 'silence' ? undefined : answer;
  if (progress && progress !== before) known?.note(workflowID, version, now, progress);
  const planning = blockedByOf(found.raw.pendingActivities ?? [], now);
  if (planning) return { progress, blockedBy: { ...(await causeOf(planning, elsewhere)), workflowID } };
  if (answer === 'silence' && now - startedAt > FIRST_TASK) {
    return { silent: true, blockedBy: { ...NO_ANSWER, workflowID } };
  }
  const oldest = progress?.oldest;
  const pending = oldest && (await pendingWork(temporal, oldest.workflowID));
  const own = pending && blockerOf(pending, now);
  const blocked = own && (await causeOf(own, elsewhere));
  return {
    progress,
    ...(pending && { pulse: progressKeyOf(oldest.workflowID, pending.activities) }),
    ...(blocked && { blockedBy: { ...blocked, ...oldest } }),
  };
}

/** Returns the end of a backfill, with its result if it has one. */
async function observeEnd(
  client: Client,
  { workflowId, runId, status, startTime, closeTime }: WorkflowExecutionDescription,
): Promise<Pick<EndedBackfill, 'endedAt' | 'ending' | 'result' | 'message'>> {
  const end = { endedAt: (closeTime ?? startTime).getTime(), ending: status.name };
  try {
    const run = client.workflow.getHandle(workflowId, runId, { followRuns: false });
    return { ...end, result: (await run.result()) as BackfillProgress, message: '' };
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    return { ...end, message: error.cause?.message ?? error.message };
  }
}

/** Number of runs that are examined for the cause of a wait. */
const EXAMINED = 5;

/**
 * Returns the blocker of the running runs of an installation; undefined when nothing does. It makes one visibility request and describes a
 * few runs, whatever the number of runs.
 */
export async function blockerOfRuns(
  temporal: Temporal,
  installation: string,
  now: number,
): Promise<BlockedBy | undefined> {
  const runs = await temporal.call('listing running runs', async client => {
    const { executions } = await client.workflowService.listWorkflowExecutions({
      namespace: temporal.namespace,
      pageSize: EXAMINED,
      query: `OoniInstallation = '${installation}' AND WorkflowType = '${WORKFLOWS.bucket}' AND ExecutionStatus = 'Running'`,
    });
    return (executions ?? []).flatMap(({ execution }) => execution?.workflowId ?? []);
  });
  const pending = await Promise.all(runs.map(run => pendingWork(temporal, run)));
  return pending
    .map(work => work && blockedByOf(work.activities, now))
    .find(blocked => blocked && blocked.reason !== NO_WORKER);
}

/** Returns the progress; undefined when it is not available yet. */
async function queryProgress(
  temporal: Temporal,
  workflowID: string,
  silence?: WorkerSilence,
): Promise<BackfillProgress | 'silence' | undefined> {
  try {
    const answer = await temporal.call(
      `asking workflow ${workflowID} for its progress`,
      client => client.workflow.getHandle(workflowID).query<BackfillProgress>(BACKFILL_MESSAGES.progress),
      ANSWER,
    );
    silence?.note(true);
    return answer;
  } catch (error) {
    // Temporal described the workflow a moment ago. Therefore the worker is silent, or Temporal reports that it has not seen one lately.
    if (error instanceof TemporalUnavailable || error instanceof TemporalRejected) {
      silence?.note(false);
      return 'silence';
    }
    // The worker has not reached this point yet. The progress is unknown, which is not a failure.
    if (
      error instanceof QueryNotRegisteredError ||
      error instanceof QueryRejectedError ||
      error instanceof WorkflowNotFoundError
    ) {
      return undefined;
    }
    throw error;
  }
}

/** Parameters of a start of a backfill. */
export interface BackfillStart {
  readonly workflowID: string;
  readonly input: BackfillInput;
  /** Attempt of this start, as `spec.attempt` counts; `input.attempt` selects the buckets. */
  readonly attempt: number;
  /** Starts the workflow again, after the last one has ended. */
  readonly again: boolean;
  /** Start of an earlier workflow that this one continues, in milliseconds since 1970. */
  readonly startedAt?: number;
}

/**
 * Starts the workflow of a backfill. Repeated and concurrent calls start exactly one. Temporal rejects the first start of an id that ever
 * existed; `again` starts the workflow again after the last one has ended, never beside a running one.
 */
export function startBackfill(temporal: Temporal, start: BackfillStart): Promise<void> {
  const { workflowID, input, attempt, again, startedAt } = start;
  return startWorkflow(temporal, {
    workflowID,
    type: WORKFLOWS.backfill,
    input,
    again,
    priority: PRIORITIES.backfill,
    summary: `${input.startAt} to ${input.endAt} by ${input.granularity}`,
    memo: { attempt, startedAt: startedAt ?? Date.now() },
    backfill: workflowID,
  });
}

export type BackfillMessage =
  | { readonly name: 'pause' | 'resume' }
  | { readonly name: 'resize'; readonly maxActiveRuns: number }
  | { readonly name: 'cancel'; readonly mode: 'Drain' | 'Now' }
  | { readonly name: 'retryFailed'; readonly attempt: number };

const argumentOf = (message: BackfillMessage): unknown[] => {
  if (message.name === 'resize') return [message.maxActiveRuns];
  if (message.name === 'cancel') return [message.mode];
  if (message.name === 'retryFailed') return [message.attempt];
  return [];
};

/**
 * Asks a backfill to start no more runs. Temporal keeps the signal until a worker takes it, so no worker needs to be there. Returns false
 * when the workflow has ended.
 */
export function drainBackfill(temporal: Temporal, workflowID: string): Promise<boolean> {
  return temporal.write(`signalling workflow ${workflowID} to drain`, async client => {
    try {
      await client.workflow.getHandle(workflowID).signal(BACKFILL_MESSAGES.drain);
      return true;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  });
}

/**
 * Sends a message to a running backfill. `key` identifies the message: Temporal treats the same key twice as one update. Returns true
 * when the workflow accepted it, and false when the workflow has ended meanwhile. Throws NoWorkerError when no worker answered (send it
 * again), and TemporalRejected when the workflow rejected it.
 */
export function updateBackfill(
  temporal: Temporal,
  workflowID: string,
  message: BackfillMessage,
  key: string,
): Promise<boolean> {
  const doing = `sending ${message.name} to workflow ${workflowID}`;
  return temporal.write(
    doing,
    async client => {
      try {
        await client.workflow.getHandle(workflowID).executeUpdate<void, [unknown]>(BACKFILL_MESSAGES[message.name], {
          args: argumentOf(message) as [unknown],
          updateId: `${message.name}-${key}`,
        });
        return true;
      } catch (error) {
        if (error instanceof WorkflowNotFoundError) return false;
        if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) {
          throw new NoWorkerError(
            `No worker answers for workflow ${workflowID}; it needs a WorkerPool that takes Workflows`,
            {
              cause: error,
            },
          );
        }
        if (error instanceof WorkflowUpdateFailedError) {
          throw new TemporalRejected(`${doing}: ${error.cause?.message ?? error.message}`, { cause: error });
        }
        throw error;
      }
    },
    ANSWER,
  );
}
