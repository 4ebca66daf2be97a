import { systemClock } from '../../operator/kube/clock.ts';
import { activeRunOf, observeBlockedRun } from '../../operator/temporal/active-run.ts';
import { blockerOfRuns, observeBackfill } from '../../operator/temporal/backfills.ts';
import type { BlockedBy, BlockedRun } from '../../operator/temporal/blocked-by.ts';
import type { Temporal } from '../../operator/temporal/connection.ts';
import { TemporalError, TemporalRejected } from '../../operator/temporal/errors.ts';
import { type Launch, listLaunches } from '../../operator/temporal/launches.ts';
import { loadReader } from '../../operator/temporal/load.ts';
import { milliseconds } from '../../operator/temporal/payload.ts';
import { listSchedules, type ScheduleList } from '../../operator/temporal/schedule-list.ts';
import { describeSchedule } from '../../operator/temporal/schedules.ts';
import { shared } from '../../operator/temporal/shared-request.ts';
import {
  boundsOf,
  bucketAt,
  bucketsBetween,
  countBuckets,
  lastCompleteBucket,
  nextBucket,
} from '../../pipeline/bucket.ts';
import { readHistory } from '../../pipeline/ledger/history.ts';
import type { ClickHouse } from '../../pipeline/tables/clickhouse.ts';
import { TableError } from '../../pipeline/tables/errors.ts';
import { LEDGER_TABLES, PIPELINE_FILES, PIPELINE_RUNS } from '../../pipeline/tables/ledger-tables.ts';
import { OBSERVATION_TABLES } from '../../pipeline/tables/schema.ts';
import { type BackfillProgress, type ScheduledRunInput, WORKFLOWS } from '../../worker/contract.ts';
import { missingSearchAttributes } from '../orchestration/target.ts';

/** A value that a server gave, or the reason why it is not known. Unknown is neither zero nor empty. */
export type Known<T> = { readonly known: true; readonly value: T } | { readonly known: false; readonly reason: string };

export interface ScheduleView {
  readonly id: string;
  readonly filter: string;
  readonly granularity: 'Day' | 'Hour';
  readonly paused: boolean;
  readonly note: string;
  /** Next bucket and its firing (ISO 8601). */
  readonly next?: { readonly bucket: string; readonly at: string };
  /** Bucket of the last firing. */
  readonly last?: string;
  /** Buckets since the schedule was created whose run is due and that the ledger does not have as completed; the oldest ones. */
  readonly missing: Known<{ readonly count: number; readonly buckets: readonly string[] }>;
  /** Time from the end of the oldest missing bucket, or 0: seconds. */
  readonly late: Known<number>;
  /** Cause that blocks the active run of the oldest firing. */
  readonly blockedBy?: BlockedRun;
}

export interface WorkflowView {
  readonly id: string;
  readonly startedAt: string;
}

export interface BackfillRow {
  readonly id: string;
  readonly startedAt: string;
  readonly progress?: BackfillProgress;
  /** Cause that blocks the planning, or the oldest active run after it. */
  readonly blockedBy?: BlockedRun;
}

export interface TemporalView {
  readonly schedules: readonly ScheduleView[];
  /** Active runs: their number, and the ones that were started first. */
  readonly runs: { readonly count: number; readonly oldest: readonly WorkflowView[] };
  readonly backfills: readonly BackfillRow[];
  /** Waiting tasks, and the seconds for which the oldest one waits. Both are absent when the server reports none of them. */
  readonly queues: readonly { readonly tasks: string; readonly backlog?: number; readonly waiting?: number }[];
  readonly workers: Known<{ readonly processes: number; readonly busy: number }>;
}

export interface LedgerView {
  /** Runs of the stage Observations by state. */
  readonly runs: Readonly<Record<string, number>>;
  readonly buckets: number;
  readonly objects: number;
  readonly measurements: number;
  readonly failedMeasurements: number;
  readonly rows: Readonly<Record<string, number>>;
  readonly lastFailures: readonly {
    readonly bucket: string;
    readonly filter: string;
    readonly stage: string;
    readonly reason: string;
    readonly message: string;
  }[];
}

/** State of an installation, as `status -o json` prints it. */
export interface StatusView {
  /** ISO 8601. */
  readonly at: string;
  readonly installation: string;
  readonly temporal: Known<TemporalView> & { readonly address: string };
  readonly clickhouse: Known<LedgerView> & { readonly name: string };
}

/** Number of schedules, backfills, runs and buckets that are listed. */
const LISTED = 20;
/** Milliseconds for which the rows share one answer about what blocks the runs. */
const SHARED = 10_000;
/** Buckets of a schedule that are compared with the ledger, at most: the newest ones. */
const COMPARED = 400;

/** Reads the state of an installation. A server that does not answer makes its part unknown. `now` is in milliseconds since 1970. */
export async function observeStatus(
  sources: {
    readonly installation: string;
    readonly temporal: Temporal;
    readonly temporalAddress: string;
    readonly clickhouse: Known<ClickHouse>;
    readonly clickhouseName: string;
  },
  now: number,
): Promise<StatusView> {
  const { installation, temporal, clickhouse, temporalAddress: address, clickhouseName: name } = sources;
  const ledger = clickhouse.known
    ? await ask(readLedger(clickhouse.value))
    : { known: false as const, reason: clickhouse.reason };
  const work = await ask(readTemporal(temporal, installation, ledger.known ? clickhouse : ledger, now));
  return {
    at: new Date(now).toISOString(),
    installation,
    temporal: { address, ...work },
    clickhouse: { name, ...ledger },
  };
}

/**
 * Whether everything is known, nothing blocks a run, and the last run of each bucket did not fail. A missing bucket alone does not count,
 * because a bucket is missing also while its run is active.
 */
export function isAsDesired({ temporal, clickhouse }: StatusView): boolean {
  if (!temporal.known || !clickhouse.known) return false;
  const { schedules, backfills } = temporal.value;
  return (
    [...schedules, ...backfills].every(({ blockedBy }) => !blockedBy) &&
    schedules.every(({ missing }) => missing.known) &&
    backfills.every(({ progress }) => (progress?.failed ?? 0) === 0) &&
    clickhouse.value.lastFailures.length === 0
  );
}

/** Returns the answer, or the message of an expected error. */
async function ask<T>(answer: Promise<T>): Promise<Known<T>> {
  try {
    return { known: true, value: await answer };
  } catch (error) {
    if (!(error instanceof TemporalError) && !(error instanceof TableError)) throw error;
    return { known: false, reason: error.message };
  }
}

async function readTemporal(
  temporal: Temporal,
  installation: string,
  clickhouse: Known<ClickHouse>,
  now: number,
): Promise<TemporalView> {
  const running = (type: string) =>
    `OoniInstallation = '${installation}' AND WorkflowType = '${type}' AND ExecutionStatus = 'Running'`;
  const elsewhere = shared(systemClock, SHARED, () => blockerOfRuns(temporal, installation, now));
  const [schedules, runs, backfills, load] = await Promise.all([
    readSchedules({ temporal, installation, clickhouse, elsewhere }, now),
    listRunning(temporal, running(WORKFLOWS.bucket)),
    listRunning(temporal, running(WORKFLOWS.backfill)),
    loadReader(temporal, installation, systemClock)(),
  ]);
  const rows = await Promise.all(
    backfills.oldest.map(async ({ id, startedAt }): Promise<BackfillRow> => {
      const state = await observeBackfill(temporal, id, now, { elsewhere });
      if (state.state !== 'running') return { id, startedAt };
      const { progress, blockedBy } = state;
      return {
        id,
        startedAt,
        ...(progress && { progress }),
        ...(blockedBy && { blockedBy }),
      };
    }),
  );
  return {
    schedules,
    runs,
    backfills: rows,
    queues: load.queues.map(({ tasks, stats }) => ({
      tasks,
      ...(stats && { backlog: stats.backlog, waiting: Math.round(stats.backlogAge / 1000) }),
    })),
    workers: load.workers.known
      ? {
          known: true,
          value: {
            processes: new Set(load.workers.value.map(({ identity }) => identity)).size,
            busy: load.workers.value
              .filter(({ tasks }) => tasks === 'Activities')
              .reduce((sum, { usedSlots }) => sum + (usedSlots ?? 0), 0),
          },
        }
      : { known: false, reason: load.workers.message },
  };
}

function listRunning(temporal: Temporal, query: string): Promise<TemporalView['runs']> {
  const list = temporal.call('listing workflows', async client => {
    const { namespace } = temporal;
    const [{ count }, page] = await Promise.all([
      client.workflowService.countWorkflowExecutions({ namespace, query }),
      client.workflowService.listWorkflowExecutions({ namespace, query, pageSize: 200 }),
    ]);
    const found = (page.executions ?? [])
      .map(({ execution, startTime }) => ({
        id: execution?.workflowId ?? '',
        startedAt: new Date(milliseconds(startTime) ?? 0).toISOString(),
      }))
      .sort((a, b) => (a.startedAt < b.startedAt ? -1 : 1));
    return { count: count?.toNumber() ?? 0, oldest: found.slice(0, LISTED) };
  });
  return orNoRun(temporal, list, { count: 0, oldest: [] });
}

/**
 * Returns the answer to a request that names search attributes. The first program that starts a run registers them, so a namespace without
 * them has no run.
 */
async function orNoRun<T>(temporal: Temporal, answer: Promise<T>, none: T): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof TemporalRejected)) throw error;
    if ((await missingSearchAttributes(temporal)).length === 0) throw error;
    return none;
  }
}

/** Sources of the views of schedules. */
interface ScheduleSources {
  readonly temporal: Temporal;
  readonly installation: string;
  readonly clickhouse: Known<ClickHouse>;
  /** Returns the cause that blocks other runs, whose activities may hold all slots. */
  readonly elsewhere: () => Promise<BlockedBy | undefined>;
}

async function readSchedules(sources: ScheduleSources, now: number): Promise<ScheduleView[]> {
  const { temporal, installation } = sources;
  const listed = await orNoRun<ScheduleList>(temporal, listSchedules(temporal, installation, systemClock), new Map());
  const ids = [...listed.keys()].filter(id => id.startsWith(`${installation}/schedule/`)).sort();
  const running = async () => (await listLaunches(temporal, installation, 'Running')).launches;
  const launches = ids.length > 0 ? await orNoRun(temporal, running(), []) : [];
  const found = await Promise.all(
    ids.slice(0, LISTED).map(id =>
      viewSchedule(
        sources,
        id,
        launches.filter(({ scheduleID }) => scheduleID === id),
        now,
      ),
    ),
  );
  return found.filter(each => each !== undefined);
}

async function viewSchedule(
  { temporal, clickhouse, elsewhere }: ScheduleSources,
  id: string,
  launches: readonly Launch[],
  now: number,
): Promise<ScheduleView | undefined> {
  const found = await describeSchedule(temporal, id);
  const input = found?.input as ScheduledRunInput | undefined;
  if (!found || !input) return undefined;
  const { granularity, filterID } = input;
  const active = activeRunOf(input, launches);
  const blockedBy = active && (await observeBlockedRun(temporal, active, now, elsewhere));
  const { paused, note, createdAt = now } = found;
  const [at] = found.nextFirings;
  const last = found.recent.at(-1)?.at;
  const due = last === undefined ? undefined : lastCompleteBucket(last, granularity);
  const missing = await missingBuckets(clickhouse, input, { createdAt, due });
  return {
    id,
    filter: filterID,
    granularity,
    paused,
    note,
    ...(at !== undefined &&
      !paused && { next: { bucket: lastCompleteBucket(at, granularity), at: new Date(at).toISOString() } }),
    ...(due !== undefined && { last: due }),
    missing,
    late: missing.known
      ? {
          known: true,
          value: missing.value.buckets[0] ? Math.round((now - boundsOf(missing.value.buckets[0]).end) / 1000) : 0,
        }
      : missing,
    ...(blockedBy && { blockedBy }),
  };
}

/** Compares the due buckets of a schedule with the ledger. `due`: the bucket of the last firing; undefined: it has not fired. */
async function missingBuckets(
  clickhouse: Known<ClickHouse>,
  { granularity, filter, filterID, stages }: ScheduledRunInput,
  { createdAt, due }: { readonly createdAt: number; readonly due: string | undefined },
): Promise<ScheduleView['missing']> {
  if (due === undefined) return { known: true, value: { count: 0, buckets: [] } };
  if (!clickhouse.known) return clickhouse;
  const end = nextBucket(due);
  const first = lastCompleteBucket(createdAt, granularity);
  const span = countBuckets(first, end, granularity);
  const from =
    span > COMPARED
      ? bucketAt(boundsOf(end).start - COMPARED * (granularity === 'Day' ? 86_400_000 : 3_600_000), granularity)
      : first;
  if (from >= end) return { known: true, value: { count: 0, buckets: [] } };
  return ask(
    readHistory(clickhouse.value, { filter, filterID, stages, from, before: end }).then(history => {
      const buckets = [...bucketsBetween(from, end, granularity)].filter(bucket => !history.of(bucket).completed);
      return { count: buckets.length, buckets: buckets.slice(0, 5) };
    }),
  );
}

async function readLedger(clickhouse: ClickHouse): Promise<LedgerView> {
  const tables = [...OBSERVATION_TABLES, ...LEDGER_TABLES].map(({ name }) => name);
  const found = await clickhouse.select<{ name: string; rows: number }>(
    'SELECT name, ifNull(total_rows, 0) AS rows FROM system.tables WHERE database = currentDatabase() AND name IN {tables:Array(String)}',
    { params: { tables } },
  );
  const rows = Object.fromEntries(
    OBSERVATION_TABLES.flatMap(({ name }) => {
      const one = found.find(each => each.name === name);
      return one ? [[name, one.rows] as const] : [];
    }),
  );
  if (!LEDGER_TABLES.every(({ name }) => found.some(each => each.name === name))) {
    return { runs: {}, buckets: 0, objects: 0, measurements: 0, failedMeasurements: 0, rows, lastFailures: [] };
  }
  const states = await clickhouse.select<{ state: string; runs: number }>(
    `SELECT state, count() AS runs FROM ${PIPELINE_RUNS.name} FINAL WHERE stage = 'Observations' GROUP BY state`,
  );
  const [totals] = await clickhouse.select<{ buckets: number; objects: number; measurements: number; failed: number }>(
    `SELECT uniqExact(bucket) AS buckets, count() AS objects, sum(last.1) AS measurements, sum(last.2) AS failed
     FROM (SELECT bucket, argMax((read, failed), generation) AS last FROM ${PIPELINE_FILES.name} FINAL GROUP BY bucket, key)`,
  );
  const lastFailures = await clickhouse.select<LedgerView['lastFailures'][number]>(
    `SELECT bucket, filter, stage, reason, message FROM (
       SELECT bucket, filter, stage, argMax(state, generation) AS last, argMax(reason, generation) AS reason,
         argMax(message, generation) AS message, max(recorded_at) AS at
       FROM ${PIPELINE_RUNS.name} FINAL GROUP BY bucket, filter, stage)
     WHERE last = 'failed' ORDER BY at DESC LIMIT 5`,
  );
  return {
    runs: Object.fromEntries(states.map(({ state, runs }) => [state, runs])),
    buckets: totals?.buckets ?? 0,
    objects: totals?.objects ?? 0,
    measurements: totals?.measurements ?? 0,
    failedMeasurements: totals?.failed ?? 0,
    rows,
    lastFailures,
  };
}
