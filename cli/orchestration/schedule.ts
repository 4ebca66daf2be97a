import type { PipelineSchedule } from '../../crds/pipeline-schedule.ts';
import { hashOf } from '../../operator/hash.ts';
import type { Temporal } from '../../operator/temporal/connection.ts';
import { TemporalRejected } from '../../operator/temporal/errors.ts';
import type { ScheduleRequest } from '../../operator/temporal/schedules.ts';
import { lastCompleteBucket } from '../../pipeline/bucket.ts';
import { type Filter, filterIDOf } from '../../pipeline/filter.ts';
import type { RunStage } from '../../pipeline/ledger/ledger.ts';
import type { Logger } from '../../pipeline/telemetry/log.ts';
import { COMMAND_NAMESPACE, filterWords, launchIDPrefix, scheduleIDOf, WORKFLOWS } from '../../worker/contract.ts';
import { resourceName } from './resource-name.ts';
import type { Target } from './target.ts';

/** The requests to Temporal. Its client is not loaded for a schedule in Kubernetes. */
const inTemporal = () => import('../../operator/temporal/schedules.ts');
/** The kinds in Kubernetes, with their schemas. They are not loaded for a schedule in Temporal. */
const kinds = () => import('../../operator/controllers/resources.ts');

/** Cron line of the Python pipeline: the files of a day are in the archive by then (orchestration.md section 5). */
const DAILY = '0 2 * * *';
/** Maximum age of a delayed firing, in seconds. An older one is lost. */
const CATCH_UP = 24 * 3600;

export interface ScheduleOutcome {
  readonly schedule: string;
  readonly action: 'created' | 'updated' | 'unchanged';
  readonly stages: readonly RunStage[];
  /** The first bucket that a firing will process, and its time (ISO 8601). Absent if the schedule is paused. */
  readonly next?: { readonly bucket: string; readonly at: string };
  readonly paused: boolean;
}

/** Returns the daily schedule of a filter in Temporal. Equal filters have equal ids. */
function scheduleRequest(installation: string, filter: Filter, stages: readonly RunStage[]): ScheduleRequest {
  const id = filterIDOf(filter);
  const content = {
    installation,
    id: scheduleIDOf(installation, COMMAND_NAMESPACE, id),
    launchID: launchIDPrefix(installation, COMMAND_NAMESPACE, id),
    ownerUID: `command/${installation}`,
    cron: [DAILY],
    timeZone: 'Etc/UTC',
    overlap: 'Allow',
    catchUpWindow: CATCH_UP,
    workflowType: WORKFLOWS.scheduledRun,
    summary: `the day before, ${filterWords(filter)}`,
    input: { installation, granularity: 'Day', filter, filterID: id, stages },
    attributes: { OoniInstallation: installation, OoniFilter: id },
  } as const;
  return { ...content, hash: hashOf(content) };
}

/** The runs of a daily schedule. */
interface DailyRuns {
  readonly installation: string;
  readonly filter: Filter;
  readonly stages: readonly RunStage[];
}

/**
 * Creates or updates the daily schedule of a filter, in Temporal or as a PipelineSchedule. A pause that a person made stays. Throws the
 * ORCHESTRATION_ERRORS.
 */
export async function schedule(
  target: Target,
  { installation, filter, stages }: DailyRuns,
  log: Logger,
): Promise<ScheduleOutcome> {
  if (target.at === 'Kubernetes') return applySchedule(target, filter, stages);
  const { temporal } = target;
  const request = scheduleRequest(installation, filter, stages);
  const action = await ensureSchedule(temporal, request);
  await keepReferenceSchedules(temporal, installation, log);
  const { describeSchedule } = await inTemporal();
  const state = await describeSchedule(temporal, request.id);
  const [at] = state?.nextFirings ?? [];
  const paused = state?.paused ?? false;
  return {
    schedule: request.id,
    action,
    stages,
    paused,
    ...(at !== undefined &&
      !paused && { next: { bucket: lastCompleteBucket(at, 'Day'), at: new Date(at).toISOString() } }),
  };
}

async function ensureSchedule(temporal: Temporal, request: ScheduleRequest): Promise<ScheduleOutcome['action']> {
  const { createSchedule, describeSchedule, updateSchedule } = await inTemporal();
  if (await createSchedule(temporal, request, { paused: false, note: '' })) return 'created';
  const seen = await describeSchedule(temporal, request.id);
  if (!seen) {
    throw new TemporalRejected(`schedule ${request.id} was deleted while it was being created; repeat the command`);
  }
  if (seen.ownerUID !== undefined && seen.ownerUID !== request.ownerUID) {
    throw new TemporalRejected(
      `schedule ${request.id} was not made by this command, so it is left alone; delete it in Temporal first`,
    );
  }
  if (seen.hash === request.hash) return 'unchanged';
  await updateSchedule(temporal, request, { pause: { paused: seen.paused, note: seen.note }, seen });
  return 'updated';
}

/** Makes the schedules that load reference data, which the operator makes in a cluster. Verdicts without them would miss block pages. */
export async function keepReferenceSchedules(temporal: Temporal, installation: string, log: Logger): Promise<void> {
  const [{ DATASET_NAMES }, { keepReferenceSchedule }] = await Promise.all([
    import('../../pipeline/reference/datasets.ts'),
    import('../../operator/reference-schedules/keep-schedules.ts'),
  ]);
  for (const dataset of DATASET_NAMES) {
    const problem = await keepReferenceSchedule(temporal, installation, dataset, log);
    if (problem) log.warn({ dataset }, `schedule of reference data: ${problem}`);
  }
}

async function applySchedule(
  { client, namespace }: Extract<Target, { at: 'Kubernetes' }>,
  filter: Filter,
  stages: readonly RunStage[],
): Promise<ScheduleOutcome> {
  const name = resourceName(filter);
  const { PIPELINE_SCHEDULES } = await kinds();
  const before = await client.find(PIPELINE_SCHEDULES, { namespace, name });
  const applied = await client.apply<PipelineSchedule>(PIPELINE_SCHEDULES, {
    metadata: { name, namespace },
    spec: {
      schedule: DAILY,
      probeCC: [...filter.probeCC],
      testNames: [...filter.testNames],
      stages: [...stages],
    },
  });
  const changed = before?.metadata.generation !== applied.metadata.generation;
  return {
    schedule: `pipelineschedule/${name}`,
    action: before ? (changed ? 'updated' : 'unchanged') : 'created',
    stages,
    paused: applied.spec?.suspend === true,
  };
}

/** Returns whether the schedule of a filter exists; `id` is its name for messages. */
export async function findSchedule(
  target: Target,
  installation: string,
  filter: Filter,
): Promise<{ readonly id: string; readonly exists: boolean }> {
  if (target.at === 'Kubernetes') {
    const name = resourceName(filter);
    const { client, namespace } = target;
    const { PIPELINE_SCHEDULES } = await kinds();
    return {
      id: `pipelineschedule/${name}`,
      exists: (await client.find(PIPELINE_SCHEDULES, { namespace, name })) !== undefined,
    };
  }
  const id = scheduleIDOf(installation, COMMAND_NAMESPACE, filterIDOf(filter));
  const { describeSchedule } = await inTemporal();
  return { id, exists: (await describeSchedule(target.temporal, id)) !== undefined };
}

/** Deletes the schedule of a filter. Runs that it has started continue. */
export async function clearSchedule(target: Target, installation: string, filter: Filter): Promise<void> {
  if (target.at === 'Kubernetes') {
    const { PIPELINE_SCHEDULES } = await kinds();
    await target.client.delete(PIPELINE_SCHEDULES, { namespace: target.namespace, name: resourceName(filter) });
    return;
  }
  const id = scheduleIDOf(installation, COMMAND_NAMESPACE, filterIDOf(filter));
  const { deleteSchedule, describeSchedule } = await inTemporal();
  const found = await describeSchedule(target.temporal, id);
  await deleteSchedule(target.temporal, id, found?.ownerUID);
}
