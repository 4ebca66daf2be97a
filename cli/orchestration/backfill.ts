import { setTimeout as sleep } from 'node:timers/promises';
import type { Backfill, BackfillSpec } from '../../crds/backfill.ts';
import { countBuckets } from '../../pipeline/bucket.ts';
import { filterIDOf } from '../../pipeline/filter.ts';
import type { BackfillRange } from '../../pipeline/runs/backfill-plan.ts';
import { type BackfillInput, commandBackfillWorkflowID, FINAL_PHASES } from '../../worker/contract.ts';
import { resourceName } from './resource-name.ts';
import { isAway, type Target } from './target.ts';

/** A backfill as the command line describes it. */
export interface BackfillRequest extends Omit<BackfillRange, 'filterID' | 'attempt' | 'since'> {
  readonly maxActiveRuns: number;
  readonly allowShrink: boolean;
}

/** State of a started backfill, the same for a resource and for a workflow. */
export interface BackfillView {
  readonly phase: string;
  /** Counts of buckets; absent while the plan is not known. */
  readonly progress?: {
    readonly total: number;
    readonly succeeded: number;
    readonly failed: number;
    readonly skipped: number;
    readonly active: number;
  };
  readonly measurements?: number;
  readonly ended: boolean;
  readonly failures: readonly { readonly bucket: string; readonly reason: string; readonly message: string }[];
  /** Cause that blocks it at the moment. */
  readonly blocked?: string;
  /** A remark about the request, such as a misspelled test name. */
  readonly warning?: string;
  /** Reason why the state is not known at the moment. All other fields are then of the last known state. */
  readonly unknown?: string;
}

/** The kinds in Kubernetes, with their schemas. They are not loaded for a backfill in Temporal. */
const kinds = () => import('../../operator/controllers/resources.ts');

const PHASES_THAT_END: readonly string[] = FINAL_PHASES;

/** Starts a backfill and returns its name: the id of its workflow, or `backfill/<name>`. `now` is in milliseconds since 1970. */
export async function startBackfillAt(
  target: Target,
  installation: string,
  request: BackfillRequest,
  now: number,
): Promise<string> {
  const { filter, stages, ...range } = request;
  const stamp = new Date(now)
    .toISOString()
    .replaceAll(/[-:]|\..*/g, '')
    .replace('T', '-');
  const name = `${resourceName(filter)}-${stamp}`;
  if (target.at === 'Kubernetes') {
    const spec = specOf(request);
    const { client, namespace } = target;
    const { BACKFILLS } = await kinds();
    const created = await client.create<Backfill>(BACKFILLS, { metadata: { name, namespace }, spec } as Backfill);
    return `backfill/${created.metadata.name}`;
  }
  const workflowID = commandBackfillWorkflowID(installation, name);
  const input: BackfillInput = {
    installation,
    ...range,
    filter,
    filterID: filterIDOf(filter),
    stages,
    suspended: false,
    dryRun: false,
    attempt: 1,
  };
  const { startBackfill } = await import('../../operator/temporal/backfills.ts');
  await startBackfill(target.temporal, { workflowID, input, attempt: 1, again: false });
  return workflowID;
}

/** Lets the API server validate the resource of a backfill without creating it. */
export async function validateBackfill(
  { client, namespace }: Extract<Target, { at: 'Kubernetes' }>,
  request: BackfillRequest,
): Promise<void> {
  const object = { metadata: { name: resourceName(request.filter), namespace }, spec: specOf(request) } as Backfill;
  const { BACKFILLS } = await kinds();
  await client.create<Backfill>(BACKFILLS, object, { dryRun: true });
}

function specOf({ filter, stages, ...range }: BackfillRequest): Partial<BackfillSpec> {
  return { ...range, stages: [...stages], probeCC: [...filter.probeCC], testNames: [...filter.testNames] };
}

/** Returns the state of a backfill that `startBackfillAt` started. `now` is in milliseconds since 1970. */
async function viewBackfill(target: Target, name: string, now: number, signal?: AbortSignal): Promise<BackfillView> {
  if (target.at === 'Kubernetes') return viewResource(target, name.slice('backfill/'.length), signal);
  const { observeBackfill } = await import('../../operator/temporal/backfills.ts');
  const state = await observeBackfill(target.temporal, name, now);
  if (state.state === 'absent') return { phase: 'Deleted', ended: true, failures: [] };
  if (state.state === 'ended') {
    const { result, ending, message } = state;
    if (!result) return { phase: ending, ended: true, failures: [{ bucket: '', reason: ending, message }] };
    return { ...figures(result), phase: result.phase, ended: true, failures: result.failures };
  }
  const { progress, blockedBy } = state;
  return {
    ...(progress && figures(progress)),
    phase: progress?.phase ?? 'Planning',
    ended: false,
    failures: progress?.failures ?? [],
    ...(blockedBy && { blocked: `${blockedBy.reason}: ${blockedBy.message}` }),
  };
}

function figures(progress: {
  readonly total: number;
  readonly succeeded: number;
  readonly failed: number;
  readonly skipped: number;
  readonly active: number;
  readonly counts: { readonly read: number };
}): Pick<BackfillView, 'progress' | 'measurements'> {
  const { total, succeeded, failed, skipped, active, counts } = progress;
  return { progress: { total, succeeded, failed, skipped, active }, measurements: counts.read };
}

async function viewResource(
  { client, namespace }: Extract<Target, { at: 'Kubernetes' }>,
  name: string,
  signal: AbortSignal | undefined,
): Promise<BackfillView> {
  const { BACKFILLS } = await kinds();
  const found = await client.find(BACKFILLS, { namespace, name }, signal ? { signal } : {});
  if (!found) return { phase: 'Deleted', ended: true, failures: [] };
  return viewOf(found);
}

/** Returns whether a Backfill resource has ended. It has not while the status describes an earlier spec, as after a retry. */
export function hasEnded({ metadata, status }: Backfill): boolean {
  return PHASES_THAT_END.includes(status?.phase ?? '') && status?.observedGeneration === metadata.generation;
}

/** Returns the state of a Backfill resource from its status. */
export function viewOf(backfill: Backfill): BackfillView {
  const { status } = backfill;
  const { phase = 'Pending', progress, measurements, failures = [], conditions = [], blockedBy } = status ?? {};
  const stalled = conditions.find(({ type, status: state }) => type === 'Stalled' && state === 'True');
  const warning = conditions.find(({ type, status: state }) => type === 'Warning' && state === 'True');
  return {
    phase,
    ...(progress && { progress }),
    ...(measurements !== undefined && { measurements }),
    ended: hasEnded(backfill),
    failures,
    ...(warning && { warning: `${warning.reason}: ${warning.message}` }),
    ...(stalled
      ? { blocked: `${stalled.reason}: ${stalled.message}` }
      : blockedBy && { blocked: `${blockedBy.reason}: ${blockedBy.message}` }),
  };
}

/** Milliseconds between two looks at a backfill. */
const POLL_INTERVAL = 1_000;

/**
 * Yields the state of a backfill until it has ended, or the signal aborts. While the server does not answer, it yields the last state with the
 * reason, and goes on. It throws the error of the first look, and every error after which a repetition would not help.
 */
export async function* follow(target: Target, name: string, signal: AbortSignal): AsyncGenerator<BackfillView> {
  const aborted = new Promise<undefined>(resolve => signal.addEventListener('abort', () => resolve(undefined)));
  let last: BackfillView | undefined;
  while (!signal.aborted) {
    try {
      // A server that hangs must not delay the end of the display.
      const view = await Promise.race([viewBackfill(target, name, Date.now(), signal), aborted]);
      if (!view) return;
      last = view;
      yield view;
      if (view.ended) return;
    } catch (error) {
      if (signal.aborted) return;
      if (!last || !isAway(error)) throw error;
      yield { ...last, unknown: (error as Error).message };
    }
    await sleep(POLL_INTERVAL, undefined, { signal }).catch(() => {});
  }
}

/** Describes the buckets of a range: `31 days of upload, 2024-01-01 to 2024-01-31`. */
export function describeBuckets({
  startAt,
  endAt,
  granularity,
}: Pick<BackfillRequest, 'startAt' | 'endAt' | 'granularity'>): string {
  const count = countBuckets(startAt, endAt, granularity);
  const unit = granularity === 'Day' ? 'day' : 'hour';
  return `${count.toLocaleString('en')} ${unit}${count === 1 ? '' : 's'} of upload, ${startAt} (included) to ${endAt} (not included)`;
}
