// A CommonJS package whose named exports Node cannot detect.
import protobuf, { type temporal as proto } from '@temporalio/proto';
import { WORKFLOWS } from '../../worker/contract.ts';
import type { Temporal } from './connection.ts';
import { describeWorkflow } from './describe-workflow.ts';
import { fromPayload, milliseconds } from './payload.ts';
import type { ScheduleState } from './schedules.ts';

const { WorkflowExecutionStatus } = protobuf.temporal.api.enums.v1;

/** Skipped: the launch succeeded but did nothing, because another run was processing its bucket. */
export type LaunchState = 'Running' | 'Succeeded' | 'Failed' | 'Cancelled' | 'Skipped';

/** A launching workflow that a schedule started. */
export interface Launch {
  readonly workflowID: string;
  readonly runID: string;
  readonly scheduleID: string;
  readonly state: LaunchState;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
}

const LAUNCH_STATE: Partial<Record<number, LaunchState>> = {
  [WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_RUNNING]: 'Running',
  [WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_COMPLETED]: 'Succeeded',
  [WorkflowExecutionStatus.WORKFLOW_EXECUTION_STATUS_CANCELED]: 'Cancelled',
};

/** Number of launches read in one request: with a hundred schedules, the last ten of each. */
const PAGE = 1000;

/** Launches of all schedules of an installation, newest first. */
export interface LaunchList {
  readonly launches: readonly Launch[];
  /** Whether the list has every launch. If not, the server has older ones. */
  readonly complete: boolean;
}

/**
 * Returns the newest launches of all schedules of an installation with one visibility request. `only`: no others than the running ones.
 */
export function listLaunches(temporal: Temporal, installation: string, only?: 'Running'): Promise<LaunchList> {
  return temporal.call('listing scheduled runs', async client => {
    const page = await client.workflowService.listWorkflowExecutions({
      namespace: temporal.namespace,
      pageSize: PAGE,
      query: `OoniInstallation = '${installation}' AND WorkflowType = '${WORKFLOWS.scheduledRun}' AND ExecutionStatus ${only ? `= '${only}'` : "!= 'ContinuedAsNew'"}`,
    });
    const launches = (page.executions ?? []).map(launchOf);
    return { launches, complete: launches.length < PAGE };
  });
}

function launchOf({ execution, searchAttributes, status, startTime }: proto.api.workflow.v1.IWorkflowExecutionInfo) {
  return {
    workflowID: execution?.workflowId ?? '',
    runID: execution?.runId ?? '',
    scheduleID: String(fromPayload(searchAttributes?.indexedFields?.TemporalScheduledById) ?? ''),
    state: LAUNCH_STATE[status ?? 0] ?? ('Failed' as const),
    startedAt: milliseconds(startTime) ?? 0,
  };
}

/** Returns one launch; undefined when Temporal has removed it. Throws the errors of `Temporal.call`. */
export function readLaunch(temporal: Temporal, workflowID: string): Promise<Launch | undefined> {
  return temporal.call(`looking up workflow ${workflowID}`, async client => {
    const found = await describeWorkflow(client, workflowID);
    return found && launchOf(found.raw.workflowExecutionInfo ?? {});
  });
}

/**
 * Returns the workflow of the newest firing if the list does not have it, because newer launches of other schedules fill the list. Without
 * that launch, its failure would not be known. Undefined when the list has it or is complete. Pure.
 *
 * @param known launches of the schedule in the list
 * @param recent the last firings, oldest first
 */
export function firingBeyond(
  known: readonly Launch[],
  complete: boolean,
  recent: ScheduleState['recent'],
): string | undefined {
  const newest = recent.at(-1)?.workflowID;
  if (complete || newest === undefined || known.some(({ workflowID }) => workflowID === newest)) return undefined;
  return newest;
}

/** Returns whether a launch that succeeded did nothing, because another run was processing its bucket. */
export function wasSkipped(temporal: Temporal, { workflowID, runID }: Launch): Promise<boolean> {
  return temporal.call(`reading the result of ${workflowID}`, async client =>
    hasSkipped(await client.workflow.getHandle(workflowID, runID, { followRuns: false }).result()),
  );
}

/** Returns whether the result of a launching workflow says that it did nothing. */
export function hasSkipped(result: unknown): boolean {
  return typeof result === 'object' && result !== null && 'skipped' in result;
}
