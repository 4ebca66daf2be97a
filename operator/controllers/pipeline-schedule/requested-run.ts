import { bucket as bucketField } from '../../../crds/fields.ts';
import type {
  PipelineSchedule,
  PipelineScheduleSpec,
  PipelineScheduleStatus,
} from '../../../crds/pipeline-schedule.ts';
import { ANNOTATIONS } from '../../../crds/resource.ts';
import { boundsOf, type Granularity, granularityOf, lastCompleteBucket } from '../../../pipeline/bucket.ts';
import { filterIDOf, normaliseFilter } from '../../../pipeline/filter.ts';
import { requestedRunWorkflowID, type ScheduledRunInput } from '../../../worker/contract.ts';
import type { EventNote } from '../../kube/events.ts';
import type { Observation } from '../../observation.ts';
import type { RequestedRun } from '../../temporal/requested-run.ts';
import { seconds } from '../conditions.ts';
import type { Warning } from '../warnings.ts';

/** A valid value of the annotation `run-bucket`. */
export interface RunRequest {
  /** The value. Each value is run once. */
  readonly value: string;
  readonly workflowID: string;
  readonly input: ScheduledRunInput & { readonly bucket: string };
}

/** A request for a run, with its run in Temporal. `run` is absent when the status has the end of the run. */
export type Requested =
  | { readonly problem: string }
  | { readonly request: RunRequest; readonly run?: Observation<RequestedRun | undefined> };

export type RequestedRunStatus = NonNullable<PipelineScheduleStatus['requestedRun']>;

/** A bucket, and `#n` to run it again. */
const VALUE = /^([^#]{1,13})(?:#[1-9][0-9]{0,3})?$/;
/** Characters of a wrong value that a message repeats. */
const SHOWN = 60;
const EXAMPLE = { Day: '2024-01-22', Hour: '2024-01-22T05' } as const;

/** Returns the request in the annotation, or the problem of its value; undefined without the annotation. `now` is in milliseconds since 1970. */
export function runRequestOf(
  { metadata }: PipelineSchedule,
  spec: PipelineScheduleSpec,
  installation: string,
  now: number,
): RunRequest | { readonly problem: string } | undefined {
  const value = metadata.annotations?.[ANNOTATIONS.runBucket];
  if (value === undefined) return undefined;
  const bucket = VALUE.exec(value)?.[1];
  const problem = problemOf(bucket, spec.granularity, now);
  if (bucket === undefined || problem) {
    const shown = value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value;
    return { problem: `annotation ${ANNOTATIONS.runBucket} = ${JSON.stringify(shown)} ${problem}` };
  }
  const filter = normaliseFilter(spec);
  const { granularity, stages } = spec;
  return {
    value,
    workflowID: requestedRunWorkflowID(installation, metadata.namespace ?? '', metadata.name, value),
    input: { installation, granularity, filter, filterID: filterIDOf(filter), stages, bucket },
  };
}

function problemOf(bucket: string | undefined, granularity: Granularity, now: number): string | undefined {
  const example = EXAMPLE[granularity];
  if (bucket === undefined) {
    return `is not a bucket; write one such as ${example}, or ${example}#2 to run it a second time.`;
  }
  const [issue] = bucketField().safeParse(bucket).error?.issues ?? [];
  if (issue) return `${issue.message}; write a bucket such as ${example}.`;
  if (granularityOf(bucket) !== granularity) {
    return `is not a bucket of this schedule, because spec.granularity is ${granularity}; write a bucket such as ${example}.`;
  }
  const { end } = boundsOf(bucket);
  if (end <= now) return undefined;
  return `is not complete before ${seconds(end)}, and its run starts then; to run a bucket now, write a complete one, at the latest ${lastCompleteBucket(now, granularity)}.`;
}

/** Returns whether the status has the end of the run of this request. */
export function hasEnded(before: RequestedRunStatus | undefined, { value }: RunRequest): boolean {
  return before?.request === value && before.state !== 'Running';
}

/** Returns `status.requestedRun`: the run of the present request, or the last one that is known. */
export function requestedRunStatus(
  requested: Requested | undefined,
  before: RequestedRunStatus | undefined,
): RequestedRunStatus | undefined {
  if (!requested || !('request' in requested) || !requested.run?.known) return before;
  const { request, run } = requested;
  // A run that was seen before cannot be started again unnoticed: Temporal has removed it, and the ledger knows whether it completed.
  if (!run.value) return before?.request === request.value ? { ...before, state: 'Unknown' } : before;
  const { state, startedAt, endedAt, message } = run.value;
  return {
    request: request.value,
    bucket: request.input.bucket,
    state,
    startedAt: seconds(startedAt),
    ...(endedAt !== undefined && { finishedAt: seconds(endedAt) }),
    ...(message && { message: message.slice(0, 1024) }),
    workflowID: request.workflowID,
  };
}

/** Decision about a request. */
export interface RunDecision {
  readonly start?: RunRequest;
  /** Whether the run has started and has not ended. */
  readonly running: boolean;
  readonly warnings: readonly Warning[];
  readonly events: readonly EventNote[];
}

/** Decides whether the run of a request is started, and reports its end. */
export function decideRun(requested: Requested | undefined, before: RequestedRunStatus | undefined): RunDecision {
  if (!requested) return { running: false, warnings: [], events: [] };
  if ('problem' in requested) {
    const warning = { reason: 'InvalidAnnotation', message: requested.problem } as const;
    return { running: false, warnings: [warning], events: [] };
  }
  const { request, run } = requested;
  const after = requestedRunStatus(requested, before);
  if (after?.request !== request.value) {
    const start = run?.known === true;
    return { running: false, warnings: [], events: start ? [started(request)] : [], ...(start && { start: request }) };
  }
  const bad = ['Failed', 'Cancelled', 'Unknown'].includes(after.state);
  const warnings = bad ? [{ reason: 'RequestedRunFailed', message: endOf(after) } as const] : [];
  const ended = after.state !== 'Running' && !hasEnded(before, request);
  return {
    running: after.state === 'Running',
    warnings,
    events: ended
      ? [{ type: bad ? 'Warning' : 'Normal', reason: 'RequestedRunEnded', action: 'RunBucket', note: endOf(after) }]
      : [],
  };
}

function started({ input, workflowID }: RunRequest): EventNote {
  const note = `The run of ${input.bucket} that the annotation requests is workflow ${workflowID}.`;
  return { type: 'Normal', reason: 'RequestedRunStarted', action: 'RunBucket', note };
}

const WORDS: Record<RequestedRunStatus['state'], string> = {
  Running: 'is active',
  Succeeded: 'succeeded',
  Skipped: 'did nothing, because another run has processed the bucket',
  Failed: 'failed',
  Cancelled: 'was cancelled',
  Unknown: 'has an unknown end, because Temporal no longer has its workflow',
};

function endOf({ request, bucket, state, message, workflowID }: RequestedRunStatus): string {
  const what = `The requested run of ${bucket} ${WORDS[state]}`;
  if (state === 'Succeeded' || state === 'Skipped') return `${what}; its workflow is ${workflowID}.`;
  const [, repetition = '1'] = request.split('#');
  return `${what}${message ? `: ${message}` : ''}; look at workflow ${workflowID} in Temporal. To run it again, set the annotation ${ANNOTATIONS.runBucket} to ${bucket}#${Number(repetition) + 1}.`;
}
