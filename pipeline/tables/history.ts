import type { Filter } from '../filter.ts';
import type { ClickHouse } from './clickhouse.ts';
import type { RunStage } from './ledger.ts';
import { PIPELINE_RUNS } from './ledger-tables.ts';

/** What the ledger knows of a bucket under a filter, over all the stages asked for. */
export interface BucketHistory {
  /** Every stage has been completed, by runs of this filter or of one that covers it. */
  readonly completed: boolean;
  /** The latest run of some stage under this very filter did not complete, and says so. */
  readonly failed: boolean;
  /** The latest run of some stage under this very filter has not completed: it failed, was cancelled, or ended without a word. */
  readonly unfinished: boolean;
}

export interface HistoryQuery {
  readonly filter: Filter;
  readonly filterID: string;
  readonly stages: readonly RunStage[];
  /** Buckets from this one on ... */
  readonly from: string;
  /** ... and before this one, as text: `2024-01-01` < `2024-01-01T00` < `2024-01-02`. */
  readonly before: string;
  /** Only what was recorded until then, by ClickHouse's clock: milliseconds since 1970. */
  readonly asOf?: number;
  /** Only runs of this generation or a newer one: milliseconds since 1970. */
  readonly since?: number;
  /** Only runs made for this backfill (its workflow id). */
  readonly backfill?: string;
}

const NOTHING: BucketHistory = { completed: false, failed: false, unfinished: false };

/** The history of a range of buckets; a bucket of which the ledger knows nothing has none of the marks. */
export class History {
  readonly #known: ReadonlyMap<string, BucketHistory>;

  constructor(known: ReadonlyMap<string, BucketHistory>) {
    this.#known = known;
  }

  /** An hour counts as completed when its whole day is. */
  of(bucket: string): BucketHistory {
    const own = this.#known.get(bucket) ?? NOTHING;
    if (own.completed || bucket.length === 10) return own;
    return { ...own, completed: this.#known.get(bucket.slice(0, 10))?.completed ?? false };
  }
}

/** Reads the history of a range of buckets from the ledger. */
export async function readHistory(clickhouse: ClickHouse, query: HistoryQuery, signal?: AbortSignal): Promise<History> {
  const { filter, filterID, stages, from, before, asOf, since, backfill } = query;
  // A state that came later hides the one before it in the table, so "as of" takes the run for not begun: it is planned, and found in flight.
  const rows = await clickhouse.select<{ bucket: string; completed: number; failed: number; unfinished: number }>(
    `SELECT bucket, count() = {stages:UInt8} AND min(done) AS completed, max(last = 'failed') AS failed,
            max(last NOT IN ('', 'completed')) AS unfinished
     FROM (
       SELECT bucket, stage,
              max(state = 'completed' AND covering) AS done,
              argMaxIf(state, (generation, revision), filter = {filterID:String}) AS last
       FROM (
         SELECT bucket, stage, state, generation, revision, filter,
                (empty(probe_cc) OR (notEmpty({probeCC:Array(String)}) AND hasAll(probe_cc, {probeCC:Array(String)})))
                  AND (empty(test_names) OR (notEmpty({testNames:Array(String)}) AND hasAll(test_names, {testNames:Array(String)}))) AS covering
         FROM ${PIPELINE_RUNS.name} FINAL
         WHERE stage IN {names:Array(String)} AND bucket >= {from:String} AND bucket < {before:String}
           AND recorded_at <= fromUnixTimestamp64Milli({asOf:Int64}, 'UTC') AND generation >= {since:UInt64}
           AND {backfill:String} IN ('', backfill)
       )
       GROUP BY bucket, stage
     )
     GROUP BY bucket`,
    {
      params: {
        filterID,
        probeCC: filter.probeCC,
        testNames: filter.testNames,
        stages: stages.length,
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
  return new History(
    new Map(
      rows.map(row => [
        row.bucket,
        { completed: row.completed === 1, failed: row.failed === 1, unfinished: row.unfinished === 1 },
      ]),
    ),
  );
}
