import { PIPELINE_SCHEDULE, type PipelineSchedule } from '../../../crds/pipeline-schedule.ts';
import { FINALIZER, SpecError } from '../../../crds/resource.ts';
import { filterIDOf, normaliseFilter } from '../../../pipeline/filter.ts';
import type { BucketHistory } from '../../../pipeline/ledger/history.ts';
import { scheduleIDOf } from '../../../worker/contract.ts';
import { addFinalizer, removeFinalizer } from '../../kube/finalizer.ts';
import { keyOf, type Stored } from '../../kube/resource.ts';
import type { Ledger } from '../../ledger.ts';
import { type ActiveRun, activeRunOf, observeBlockedRun } from '../../temporal/active-run.ts';
import type { Temporal } from '../../temporal/connection.ts';
import { firingBeyond, type Launch, listLaunches, readLaunch, wasSkipped } from '../../temporal/launches.ts';
import { observeRequestedRun, startRequestedRun } from '../../temporal/requested-run.ts';
import { listSchedules } from '../../temporal/schedule-list.ts';
import { ScheduleReader } from '../../temporal/schedule-reader.ts';
import {
  createSchedule,
  deleteSchedule,
  describeSchedule,
  type ScheduleState,
  updateSchedule,
} from '../../temporal/schedules.ts';
import { shared } from '../../temporal/shared-request.ts';
import { REFRESH } from '../plan-types.ts';
import {
  ask,
  type Context,
  NOT_ASKED,
  needsFinalizer,
  type RunSources,
  reconciler,
  type Systems,
  specOf,
} from '../reconcile.ts';
import { PIPELINE_SCHEDULES } from '../resources.ts';
import { countsOf, coverageOf, dueRange, missingOf } from './coverage.ts';
import { changesSchedule, planSchedule } from './plan.ts';
import type { ObservedSchedule, ScheduleAction } from './plan-types.ts';
import { recordIn } from './record.ts';
import { hasEnded, type Requested, runRequestOf } from './requested-run.ts';
import { scheduleStatus } from './status.ts';

/** Milliseconds for which a list of launches is reused. Visibility lags by seconds, and Temporal allows few such requests. */
const LAUNCHES_TTL = 10_000;

/** Number of launches for which the result is remembered. */
const REMEMBERED = 10_000;
/** Number of newest launches that are read for each schedule. The status has the older ones already. */
const NEWEST = 10;
/** Calls to Temporal of a pass: for a schedule, which a list often spares, and for its oldest active run. */
const CALLS = { schedule: 1, run: 2 };
/** Share of the calls per second for descriptions of schedules that a list shows unchanged. */
const AUDITS = 0.1;

/** Reconciles PipelineSchedules. */
export function scheduleReconciler(
  context: Context,
  { temporal, ui, polling, blockedElsewhere, ledger, callsPerSecond }: ScheduleSources,
) {
  const { client, clock, installation } = context;
  const source = {
    describe: (id: string) => describeSchedule(temporal, id),
    list: () => listSchedules(temporal, installation, clock),
  };
  const reader = new ScheduleReader(source, clock, AUDITS * callsPerSecond);
  const launchesOf = launchReader(context, temporal);

  return reconciler(context, {
    resource: PIPELINE_SCHEDULES,
    finalizer: FINALIZER,
    async observe(object, now, signal) {
      const spec = specOf(PIPELINE_SCHEDULE, object);
      if (needsFinalizer(object)) return { object, spec, schedule: NOT_ASKED, launches: NOT_ASKED };
      const id = scheduleIDOf(installation, object.metadata.namespace ?? '', object.metadata.name);
      const [schedule, requested] = await Promise.all([
        ask(readSchedule(reader, object, spec, id, installation)),
        observeRequested(context, temporal, object, spec, now),
      ]);
      const launches = await ask(launchesOf(id, (schedule.known && schedule.value?.recent) || []));
      const seen = { object, spec, schedule, launches };
      const due = changesSchedule(seen, installation) ? {} : await observeDue(seen, ledger, signal);
      const active = activeOf(spec, launches, installation);
      polling.note(keyOf(object), CALLS.schedule + (active ? CALLS.run : 0));
      // When Temporal does not answer, the other observations report it.
      const blocked = active && (await ask(observeBlockedRun(temporal, active, now, blockedElsewhere)));
      const blockedBy = blocked?.known ? blocked.value : undefined;
      return {
        ...{ object, spec, schedule, launches, ...due },
        ...(requested && { requested }),
        ...(blockedBy && { blockedBy }),
      };
    },
    plan: (observed, now) => planSchedule(observed, installation, now),
    apply: (object, action, signal) => apply({ client, temporal, signal }, reader, object, action),
    status: (observed, plan) => scheduleStatus(observed, plan, installation, ui),
    interval: after => (after === REFRESH.soon ? after : polling.interval(after)),
    forget(key) {
      polling.note(key, 0);
      ledger.forget(key);
      const [namespace = '', name = ''] = key.split('/');
      reader.forget(scheduleIDOf(installation, namespace, name));
    },
  });
}

interface ScheduleSources extends RunSources {
  readonly ledger: Ledger;
  /** Limit of all calls to Temporal. */
  readonly callsPerSecond: number;
}

/** Returns the schedule of a resource. It is described if the resource is being deleted or the schedule is to be changed. */
async function readSchedule(
  reader: ScheduleReader,
  object: Stored<PipelineSchedule>,
  spec: ObservedSchedule['spec'],
  id: string,
  installation: string,
): Promise<ScheduleState | undefined> {
  if (object.metadata.deletionTimestamp) return reader.describe(id);
  const seen = await reader.read(id, recordIn(object, id));
  const observed = { object, spec, schedule: { known: true, value: seen }, launches: NOT_ASKED } as const;
  return !seen?.version && changesSchedule(observed, installation) ? reader.describe(id) : seen;
}

/** Returns the active run of the oldest firing; undefined when none is active, or when that is unknown. */
function activeOf(
  spec: ObservedSchedule['spec'],
  launches: ObservedSchedule['launches'],
  installation: string,
): ActiveRun | undefined {
  if (spec instanceof SpecError || !launches.known) return undefined;
  const { granularity } = spec;
  return activeRunOf({ installation, granularity, filterID: filterIDOf(normaliseFilter(spec)) }, launches.value);
}

/** Reads the run that the annotation requests. Undefined without the annotation. */
async function observeRequested(
  { installation }: Context,
  temporal: Temporal,
  object: Stored<PipelineSchedule>,
  spec: ObservedSchedule['spec'],
  now: number,
): Promise<Requested | undefined> {
  if (spec instanceof SpecError || object.metadata.deletionTimestamp) return undefined;
  const request = runRequestOf(object, spec, installation, now);
  if (!request || 'problem' in request) return request;
  if (hasEnded(object.status?.requestedRun, request)) return { request };
  return { request, run: await ask(observeRequestedRun(temporal, request.workflowID)) };
}

/**
 * Looks up in the ledger how far the due buckets have come and which are missing. Returns neither while no bucket is due, or while Temporal
 * does not show which are.
 */
async function observeDue(
  { object, spec, schedule, launches }: Omit<ObservedSchedule, 'missing' | 'buckets'>,
  ledger: Ledger,
  signal: AbortSignal,
): Promise<Pick<ObservedSchedule, 'missing' | 'buckets'>> {
  if (spec instanceof SpecError || !schedule.known || !schedule.value || !launches.known) return {};
  const coverage = coverageOf(spec, object.status?.coverage, schedule.value, launches.value);
  const range = coverage && dueRange(spec, coverage, schedule.value, launches.value);
  if (!range) return {};
  const { from, before } = range;
  const filter = normaliseFilter(spec);
  const question = {
    query: { filter, filterID: filterIDOf(filter), stages: spec.stages, from, before },
    inputs: range.pending,
    summarise: (of: (bucket: string) => BucketHistory) => ({
      missing: missingOf(range, spec, bucket => of(bucket).completed),
      buckets: countsOf(range, spec, of),
    }),
  };
  const answer = await ledger.ask(keyOf(object), question, signal);
  if (!answer.known) return { missing: answer };
  return { missing: { known: true, value: answer.value.missing }, buckets: answer.value.buckets };
}

/** Returns the newest launches of a schedule, newest first. `recent`: its last firings, oldest first. */
type LaunchReader = (scheduleID: string, recent: ScheduleState['recent']) => Promise<Launch[]>;

/**
 * Returns a reader of launches. All schedules share one request. A launch that succeeded without doing anything has the state Skipped.
 */
function launchReader({ clock, installation }: Context, temporal: Temporal): LaunchReader {
  const list = shared(clock, LAUNCHES_TTL, () => listLaunches(temporal, installation));
  /** Whether a launch did nothing, by run id. Results do not change, so each is read once. */
  const known = new Map<string, boolean>();
  const skipped = async (launch: Launch) => {
    const before = known.get(launch.runID);
    if (before !== undefined) return before;
    const found = await wasSkipped(temporal, launch);
    if (known.size >= REMEMBERED) known.delete(known.keys().next().value as string);
    known.set(launch.runID, found);
    return found;
  };
  /** The newest launch of a schedule, once it has ended, by schedule. */
  const ended = new Map<string, Launch>();
  const beyond = async (scheduleID: string, workflowID: string) => {
    const before = ended.get(scheduleID);
    if (before?.workflowID === workflowID) return before;
    const found = await readLaunch(temporal, workflowID);
    if (!found || found.state === 'Running') return found;
    if (ended.size >= REMEMBERED) ended.delete(ended.keys().next().value as string);
    ended.set(scheduleID, found);
    return found;
  };
  return async (id, recent) => {
    const { launches, complete } = await list();
    const listed = launches.filter(launch => launch.scheduleID === id).slice(0, NEWEST);
    const missed = firingBeyond(listed, complete, recent);
    const last = missed === undefined ? undefined : await beyond(id, missed);
    return Promise.all(
      [...(last ? [last] : []), ...listed].map(async launch =>
        launch.state === 'Succeeded' && (await skipped(launch)) ? { ...launch, state: 'Skipped' as const } : launch,
      ),
    );
  };
}

/** Carries out one action of a plan. Returns true when the resource may be gone afterwards. */
async function apply(
  { client, temporal, signal }: Systems,
  reader: ScheduleReader,
  object: Stored<PipelineSchedule>,
  action: ScheduleAction,
): Promise<boolean> {
  switch (action.do) {
    case 'addFinalizer':
      await addFinalizer(client, PIPELINE_SCHEDULES, object, FINALIZER, { signal });
      return false;
    case 'removeFinalizer':
      await removeFinalizer(client, PIPELINE_SCHEDULES, object, FINALIZER, { signal });
      return true;
    case 'create':
      // If a schedule of this id exists already, the next pass decides. It may come from a pass of ours that died, or from somebody else.
      reader.created(action.request, action.pause, await createSchedule(temporal, action.request, action.pause));
      return false;
    case 'update':
      reader.changed(action.request.id);
      await updateSchedule(temporal, action.request, { pause: action.pause, seen: action.seen });
      return false;
    case 'startRun':
      await startRequestedRun(temporal, action.request.workflowID, action.request.input);
      return false;
    case 'deleteSchedule':
      reader.changed(action.id);
      await deleteSchedule(temporal, action.id, action.ownerUID);
      return false;
  }
}
