import { addCounts, type Counts, noCounts } from '../../pipeline/counts.ts';
import type { Filter } from '../../pipeline/filter.ts';
import { ledgerTime, type RunStage } from '../../pipeline/ledger/ledger.ts';
import type { Reprocess } from '../../worker/contract.ts';
import { type RunTools, runBucket } from './run-bucket.ts';

export interface FailedBucket {
  readonly bucket: string;
  readonly reason: string;
  readonly message: string;
}

/** Result of a run over many buckets. */
export interface RunTotals {
  /** Completed buckets. */
  done: number;
  readonly failed: FailedBucket[];
  /** Planned buckets that neither completed nor failed: the run was stopped, or could not continue. */
  left: number;
  /** Counts of completed and failed buckets. */
  readonly counts: Counts;
  /** Rows in the tables, by table. */
  readonly rows: Record<string, number>;
  verdicts: number;
}

export interface RunWatch {
  /** Receives the number of measurements read so far, including those of running buckets. */
  readonly onRead: (measurements: number) => void;
  /** Called when a bucket has ended. */
  readonly onBucket: (failed?: FailedBucket) => void;
  readonly signal: AbortSignal;
}

/** Number of successive buckets with an unreadable object that stops the run. A single unreadable object does not. */
const UNREADABLE_IN_A_ROW = 3;

/**
 * Runs buckets in order, `slots` at a time. If a bucket fails, this is recorded and the others continue, unless the cause would fail them
 * all: then no further bucket starts. If the run is stopped, it also returns, with running buckets recorded as cancelled.
 */
export async function runBuckets(
  tools: RunTools,
  buckets: readonly string[],
  how: {
    readonly filter: Filter;
    readonly filterID: string;
    readonly stages: readonly RunStage[];
    readonly reprocess: Reprocess;
  },
  slots: number,
  watch: RunWatch,
): Promise<RunTotals> {
  const { filter, filterID } = how;
  const { signal } = watch;
  const totals: RunTotals = { done: 0, failed: [], left: 0, counts: noCounts(), rows: {}, verdicts: 0 };
  const reading = new Map<string, number>();
  let unreadable = 0;
  let cannotContinue = false;

  const since = buckets[0]?.includes('T') ? await ledgerTime(tools.clickhouse, signal) : undefined;
  // Buckets start in the order of the list, so the last bucket of a day starts after all others of that day have started.
  const lastOfDay = new Map(buckets.map(bucket => [bucket.slice(0, 10), bucket]));
  const settledBy = (bucket: string) => {
    const last = lastOfDay.get(bucket.slice(0, 10));
    return since === undefined || last === undefined ? {} : { settledBy: { bucket: last, since } };
  };

  const runOne = async (bucket: string): Promise<void> => {
    const onRead = (measurements: number) => {
      reading.set(bucket, measurements);
      watch.onRead([...reading.values()].reduce((sum, each) => sum + each, totals.counts.read));
    };
    const outcome = await runBucket({
      tools,
      bucket: { bucket, filter, filterID },
      how: { ...how, ...settledBy(bucket) },
      onRead,
      signal,
    }).finally(() => reading.delete(bucket));
    addCounts(totals.counts, outcome.counts);
    for (const [table, rows] of Object.entries(outcome.rows)) totals.rows[table] = (totals.rows[table] ?? 0) + rows;
    totals.verdicts += outcome.verdicts;
    if (outcome.state === 'completed') {
      totals.done++;
      unreadable = 0;
      watch.onBucket();
      return;
    }
    const { reason, message } = outcome;
    const failed = { bucket, reason, message };
    totals.failed.push(failed);
    watch.onBucket(failed);
    unreadable = reason === 'ArchiveUnavailable' ? unreadable + 1 : 0;
    if (outcome.outage && (reason !== 'ArchiveUnavailable' || unreadable === UNREADABLE_IN_A_ROW))
      cannotContinue = true;
  };

  const waiting = buckets.values();
  await Promise.all(
    Array.from({ length: slots }, async () => {
      for (const bucket of waiting) {
        if (signal.aborted || cannotContinue) return;
        try {
          await runOne(bucket);
        } catch (error) {
          if (!signal.aborted) throw error;
        }
      }
    }),
  );
  totals.left = buckets.length - totals.done - totals.failed.length;
  return totals;
}
