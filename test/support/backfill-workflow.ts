import { condition, defineQuery, defineSignal, defineUpdate, proxyActivities, setHandler } from '@temporalio/workflow';
import {
  type BackfillInput,
  type BackfillPhase,
  type BackfillProgress,
  queuesOf,
  runWorkflowID,
} from '../../worker/contract.ts';

/**
 * A coordinator that answers according to the contract but does no work. A test sets its progress and its end by signals, so that it can
 * test the operator on a real Temporal in every phase.
 */
export async function BackfillWorkflow(input: BackfillInput): Promise<BackfillProgress> {
  if (input.filter.probeCC.includes('XX')) await DefectiveWorkflow();
  const state = {
    phase: (input.suspended ? 'Suspended' : 'Running') as BackfillPhase,
    succeeded: 0,
    failed: 0,
    active: 2,
    maxActiveRuns: input.maxActiveRuns,
    attempt: input.attempt,
  };
  const startedAt = new Date(Date.now()).toISOString();
  let received: string[] = [];
  let end: BackfillPhase | undefined = input.dryRun ? 'Planned' : undefined;
  const progress = (finishedAt?: string): BackfillProgress => ({
    phase: finishedAt ? (end ?? 'Complete') : state.phase,
    plan: { buckets: 10, toRun: 10, first: input.startAt, skipped: {} },
    total: 10,
    succeeded: state.succeeded,
    failed: state.failed,
    skipped: 0,
    active: finishedAt ? 0 : state.active,
    oldest: { bucket: input.startAt, workflowID: runWorkflowID(input.installation, input.filterID, input.startAt) },
    counts: {
      files: 1,
      bytes: 1000 * state.succeeded,
      read: 10 * state.succeeded,
      transformed: 0,
      skipped: 0,
      failed: 0,
      unsupported: 0,
      rows: {},
    },
    failures: [],
    maxActiveRuns: state.maxActiveRuns,
    attempt: state.attempt,
    startedAt,
    ...(finishedAt && { finishedAt }),
  });
  setHandler(defineQuery<BackfillProgress>('progress'), () => progress());
  setHandler(defineQuery<string[]>('received'), () => received);
  setHandler(defineSignal<[number, number]>('advance'), (succeeded, failed) => {
    Object.assign(state, { succeeded, failed });
  });
  setHandler(defineSignal<[BackfillPhase]>('end'), phase => {
    end = phase;
  });
  const receive = (text: string, phase?: BackfillPhase) => {
    received = [...received, text];
    if (phase) state.phase = phase;
  };
  setHandler(defineUpdate<void>('pause'), () => receive('pause', 'Suspended'));
  setHandler(defineUpdate<void>('resume'), () => receive('resume', 'Running'));
  setHandler(defineUpdate<void, [number]>('resize'), runs => {
    receive(`resize ${runs}`);
    state.maxActiveRuns = runs;
  });
  setHandler(defineUpdate<void, ['Drain' | 'Now']>('cancel'), mode => {
    receive(`cancel ${mode}`, mode === 'Drain' ? 'Draining' : 'Cancelling');
  });
  setHandler(defineSignal('drain'), () => receive('drain', 'Draining'));
  setHandler(defineUpdate<void, [number]>('retryFailed'), attempt => {
    receive(`retryFailed ${attempt}`);
    state.attempt = attempt;
  });
  await condition(() => end !== undefined);
  return progress(new Date(Date.now()).toISOString());
}

/** A run whose code fails in each attempt of its workflow task. */
export async function DefectiveWorkflow(): Promise<void> {
  throw new TypeError('the code is defective');
}

/** A run with one activity, which is retried until it succeeds. */
export async function PatientWorkflow(): Promise<void> {
  const { work } = proxyActivities<{ work(): Promise<void> }>({
    taskQueue: queuesOf('ooni').activities,
    startToCloseTimeout: '5 minutes',
    heartbeatTimeout: '1 minute',
    retry: { initialInterval: '200 ms', backoffCoefficient: 1 },
  });
  await work();
}

/** The workflow that the operator's schedules of reference data start. */
export async function ReferenceRefreshWorkflow(): Promise<void> {}

/** A run with the name of a real one. */
export const BucketWorkflow = PatientWorkflow;
