import { addCounts, type Counts, noCounts } from '../../pipeline/counts.ts';
import type { Filter } from '../../pipeline/filter.ts';
import { ledgerTime, type RunStage } from '../../pipeline/ledger/ledger.ts';
import type { Reprocess } from '../../worker/contract.ts';
import { type BucketOptions, type BucketOutcome, type RunTools, runBucket } from './run-bucket.ts';

export interface FailedBucket {
  readonly bucket: string;
  readonly reason: string;
  readonly message: string;
}

/** Result of a run over many buckets. */
export interface RunTotals {
  /** Completed buckets. */
  readonly done: number;
  readonly failed: readonly FailedBucket[];
  /** Planned buckets that neither completed nor failed: the run was stopped, or could not continue. */
  readonly left: number;
  /** Counts of completed and failed buckets. */
  readonly counts: Counts;
  /** Rows in the tables, by table. */
  readonly rows: Readonly<Record<string, number>>;
  readonly verdicts: number;
  /** Whether a bucket had objects in the archive, including those that an earlier run had read. */
  readonly foundObjects: boolean;
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

/** How the buckets of a run are processed. */
export interface RunOptions {
  readonly filter: Filter;
  readonly filterID: string;
  readonly stages: readonly RunStage[];
  readonly reprocess: Reprocess;
  /** Number of buckets that run at the same time. */
  readonly slots: number;
}

/**
 * Runs buckets in order, `slots` at a time. If a bucket fails, this is recorded and the others continue, unless the cause would fail them
 * all: then no further bucket starts. If the run is stopped, it also returns, with running buckets recorded as cancelled.
 */
export async function runBuckets(
  tools: RunTools,
  buckets: readonly string[],
  options: RunOptions,
  watch: RunWatch,
): Promise<RunTotals> {
  const { signal } = watch;
  const { filter, filterID } = options;
  const tally = new RunTally(buckets, watch);
  const settledBy = await settlingBuckets(tools, buckets, signal);
  const runOne = async (bucket: string): Promise<void> => {
    const outcome = await runBucket({
      tools,
      bucket: { bucket, filter, filterID },
      options: { ...options, ...settledBy(bucket) },
      onRead: measurements => tally.reading(bucket, measurements),
      signal,
    }).finally(() => tally.stopped(bucket));
    tally.ended(bucket, outcome);
  };
  const waiting = buckets.values();
  await Promise.all(
    Array.from({ length: options.slots }, async () => {
      for (const bucket of waiting) {
        if (signal.aborted || tally.cannotContinue) return;
        try {
          await runOne(bucket);
        } catch (error) {
          if (!signal.aborted) throw error;
        }
      }
    }),
  );
  return tally.totals();
}

/** Returns, for a bucket of an hour, the bucket of the run that judges its day in full. */
async function settlingBuckets(
  { clickhouse }: RunTools,
  buckets: readonly string[],
  signal: AbortSignal,
): Promise<(bucket: string) => Pick<BucketOptions, 'settledBy'>> {
  if (!buckets[0]?.includes('T')) return () => ({});
  const since = await ledgerTime(clickhouse, signal);
  // Buckets start in the order of the list, so the last bucket of a day starts after all others of that day have started.
  const lastOfDay = new Map(buckets.map(bucket => [bucket.slice(0, 10), bucket]));
  return bucket => {
    const last = lastOfDay.get(bucket.slice(0, 10));
    return last === undefined ? {} : { settledBy: { bucket: last, since } };
  };
}

/** Adds up the outcomes of the buckets and reports them to the watch. */
class RunTally {
  /** True after a failure whose cause would fail the remaining buckets too. */
  cannotContinue = false;
  readonly #buckets: readonly string[];
  readonly #watch: RunWatch;
  /** Measurements read so far, by running bucket. */
  readonly #reading = new Map<string, number>();
  readonly #failed: FailedBucket[] = [];
  readonly #counts = noCounts();
  readonly #rows: Record<string, number> = {};
  #done = 0;
  #verdicts = 0;
  #foundObjects = false;
  #unreadableInARow = 0;

  constructor(buckets: readonly string[], watch: RunWatch) {
    this.#buckets = buckets;
    this.#watch = watch;
  }

  reading(bucket: string, measurements: number): void {
    this.#reading.set(bucket, measurements);
    this.#watch.onRead([...this.#reading.values()].reduce((sum, each) => sum + each, this.#counts.read));
  }

  /** The bucket does not run any more; `ended` adds its final counts. */
  stopped(bucket: string): void {
    this.#reading.delete(bucket);
  }

  ended(bucket: string, outcome: BucketOutcome): void {
    addCounts(this.#counts, outcome.counts);
    for (const [table, rows] of Object.entries(outcome.rows)) this.#rows[table] = (this.#rows[table] ?? 0) + rows;
    this.#verdicts += outcome.verdicts;
    if (outcome.counts.files > 0 || outcome.kept) this.#foundObjects = true;
    if (outcome.state === 'completed') {
      this.#done++;
      this.#unreadableInARow = 0;
      this.#watch.onBucket();
      return;
    }
    const { reason, message, outage } = outcome;
    const failed = { bucket, reason, message };
    this.#failed.push(failed);
    this.#watch.onBucket(failed);
    const unreadable = reason === 'ArchiveUnavailable';
    this.#unreadableInARow = unreadable ? this.#unreadableInARow + 1 : 0;
    if (outage && (!unreadable || this.#unreadableInARow === UNREADABLE_IN_A_ROW)) this.cannotContinue = true;
  }

  totals(): RunTotals {
    return {
      done: this.#done,
      failed: this.#failed,
      left: this.#buckets.length - this.#done - this.#failed.length,
      counts: this.#counts,
      rows: this.#rows,
      verdicts: this.#verdicts,
      foundObjects: this.#foundObjects,
    };
  }
}
