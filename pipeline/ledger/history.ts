import type { Filter } from '../filter.ts';
import type { ClickHouse } from '../tables/clickhouse.ts';
import { PIPELINE_RUNS } from '../tables/ledger-tables.ts';
import type { RunStage, RunState } from './ledger.ts';

/** A completed Observations run of a bucket. */
export interface DoneRun {
  readonly bucket: string;
  readonly filterID: string;
  readonly generation: number;
}

/** The state of a bucket under a filter, from the ledger, over all requested stages. */
export interface BucketHistory {
  /** Whether no stage is pending. */
  readonly completed: boolean;
  /**
   * The stages to run, in order. A stage is done if all of these hold: a run of this filter, or of one that covers it, completed it; no later
   * run of this filter left it unfinished; and, for the analysis, the observations were not made again afterwards.
   */
  readonly pending: readonly RunStage[];
  /** Stages that have a run under this filter, or a completed run under a filter that covers it. */
  readonly begun: readonly RunStage[];
  /** Whether the latest unfinished run of a pending stage under exactly this filter failed. */
  readonly failed: boolean;
  /** Whether a stage is pending and has runs under exactly this filter: its run failed, was cancelled, or ended without a record. */
  readonly unfinished: boolean;
  /** Whether a run of the bucket, under any filter, read objects or did not complete, so that rows may exist. */
  readonly touched: boolean;
  /** The run that completed the observations. */
  readonly done?: DoneRun;
}

export interface HistoryQuery {
  readonly filter: Filter;
  readonly filterID: string;
  readonly stages: readonly RunStage[];
  /** First bucket, inclusive. */
  readonly from: string;
  /** Last bucket, exclusive, compared as text: `2024-01-01` < `2024-01-01T00` < `2024-01-02`. */
  readonly before: string;
  /** Only records up to this time, by ClickHouse's clock: milliseconds since 1970. */
  readonly asOf?: number;
  /** Only runs of this generation or a newer one: milliseconds since 1970. */
  readonly since?: number;
  /** Only runs that were made for this backfill (its workflow id). */
  readonly backfill?: string;
}

/** One stage of one bucket, over all runs. A generation is 0 if there is no such run. */
interface StageRecord {
  readonly bucket: string;
  readonly stage: RunStage;
  /** Generation of the newest completed run whose filter covers the requested one. */
  readonly doneGeneration: number;
  readonly doneFilter: string;
  /** Generation of the newest run under exactly the requested filter. */
  readonly lastGeneration: number;
  readonly last: RunState | '';
  readonly touched: 0 | 1;
}

/** The history of a range of buckets. For a bucket without records, all stages are pending and all flags are false. */
class History {
  readonly #stages: readonly RunStage[];
  /** Records by `bucket stage`. */
  readonly #records: ReadonlyMap<string, StageRecord>;
  /** Days that have a touched hour. */
  readonly #touchedDays: ReadonlySet<string>;

  constructor(stages: readonly RunStage[], records: readonly StageRecord[]) {
    this.#stages = stages;
    this.#records = new Map(records.map(record => [`${record.bucket} ${record.stage}`, record]));
    this.#touchedDays = new Set(records.filter(({ touched }) => touched).map(({ bucket }) => bucket.slice(0, 10)));
  }

  /** Returns the history of one bucket. An hour is done when its whole day is done. */
  of(bucket: string): BucketHistory {
    const day = bucket.slice(0, 10);
    const touched =
      bucket === day
        ? this.#touchedDays.has(day)
        : [bucket, day].some(each => this.#stages.some(stage => this.#records.get(`${each} ${stage}`)?.touched));
    const found = this.#stages.map(stage => {
      const own = this.#records.get(`${bucket} ${stage}`);
      const ofDay = bucket === day ? undefined : this.#records.get(`${day} ${stage}`);
      const done = (ofDay?.doneGeneration ?? 0) > (own?.doneGeneration ?? 0) ? ofDay : own;
      const [doneAt, lastAt] = [done?.doneGeneration ?? 0, own?.lastGeneration ?? 0];
      return { stage, done, doneAt, lastAt, last: own?.last ?? '', isDone: doneAt > 0 && doneAt >= lastAt };
    });
    const observations = found.find(({ stage }) => stage === 'Observations');
    const pending = found.filter(
      ({ isDone, doneAt }) => !isDone || (observations?.isDone && doneAt < observations.doneAt),
    );
    const latest = pending
      .filter(({ isDone, last }) => !isDone && last !== '')
      .sort((a, b) => a.lastAt - b.lastAt)
      .at(-1);
    const { done } = observations?.isDone ? observations : {};
    return {
      completed: pending.length === 0,
      pending: pending.map(({ stage }) => stage),
      begun: found.filter(({ doneAt, last }) => doneAt > 0 || last !== '').map(({ stage }) => stage),
      failed: latest?.last === 'failed',
      unfinished: pending.length > 0 && found.some(({ last }) => last !== ''),
      touched,
      ...(done && { done: { bucket: done.bucket, filterID: done.doneFilter, generation: done.doneGeneration } }),
    };
  }
}

/** Reads the history of a range of buckets from the ledger. */
export async function readHistory(clickhouse: ClickHouse, query: HistoryQuery, signal?: AbortSignal): Promise<History> {
  const { filter, filterID, stages, from, before, asOf, since, backfill } = query;
  // The table keeps only the latest state of a run. With `asOf`, a run whose latest state is newer counts as not begun: it is planned, and
  // found in progress when it starts.
  const records = await clickhouse.select<StageRecord>(
    `SELECT bucket, stage,
            maxIf(generation, state = 'completed' AND covering) AS doneGeneration,
            argMaxIf(filter, generation, state = 'completed' AND covering) AS doneFilter,
            maxIf(generation, filter = {filterID:String}) AS lastGeneration,
            argMaxIf(state, (generation, revision), filter = {filterID:String}) AS last,
            max(state != 'completed' OR files > 0) AS touched
     FROM (
       SELECT bucket, stage, state, generation, revision, filter, files,
              (empty(probe_cc) OR (notEmpty({probeCC:Array(String)}) AND hasAll(probe_cc, {probeCC:Array(String)})))
                AND (empty(test_names) OR (notEmpty({testNames:Array(String)}) AND hasAll(test_names, {testNames:Array(String)}))) AS covering
       FROM ${PIPELINE_RUNS.name} FINAL
       WHERE stage IN {names:Array(String)} AND bucket >= {from:String} AND bucket < {before:String}
         AND recorded_at <= fromUnixTimestamp64Milli({asOf:Int64}, 'UTC') AND generation >= {since:UInt64}
         AND {backfill:String} IN ('', backfill)
     )
     GROUP BY bucket, stage`,
    {
      params: {
        filterID,
        probeCC: filter.probeCC,
        testNames: filter.testNames,
        names: stages,
        from: from.slice(0, 10),
        before,
        asOf: asOf ?? Date.UTC(2200, 0),
        since: since ?? 0,
        backfill: backfill ?? '',
      },
      signal,
    },
  );
  return new History(stages, records);
}
