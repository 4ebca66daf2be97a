import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { VerdictCount } from '../analysis/analyse.ts';
import { boundsOf } from '../bucket.ts';
import { type Counts, noCounts } from '../counts.ts';
import type { BatchStage } from './batch.ts';

/** What becomes of a measurement. */
const STATUSES = ['transformed', 'skipped', 'failed', 'unsupported'] as const;

/** Metrics of the runs in a worker or a command, for Prometheus. */
export class RunMetrics {
  readonly registry = new Registry();
  readonly runs = this.#counter('ooni_runs_total', 'Stages of runs that ended, by stage and state', ['stage', 'state']);
  readonly insertRetries = this.#counter('ooni_insert_retries_total', 'INSERT statements that were retried');
  readonly #insertErrors = this.#counter(
    'ooni_insert_errors_total',
    'INSERT statements of observations that failed, including those that were retried, by class of error',
    ['error'],
  );
  readonly #seconds = this.#counter(
    'ooni_stage_seconds_total',
    'Seconds of work by stage. fetch: waiting for the archive; unpack: decompression, and division into documents; transform: documents to rows; insert: INSERTs with their retries; analyse: verdicts of a run',
    ['stage'],
  );
  readonly #verdicts = this.#counter(
    'ooni_verdicts_total',
    'Verdicts made, by outcome (blocked, partly_blocked, down, ok, unknown; none by rules without outcomes) and country (ZZ for one that is not two capital letters)',
    ['outcome', 'probe_cc'],
  );
  readonly #measurements = this.#counter(
    'ooni_measurements_total',
    'Measurements that were read, by status (transformed, skipped, failed, unsupported)',
    ['status'],
  );
  readonly #rows = this.#counter('ooni_rows_total', 'Rows inserted, by table', ['table']);
  readonly #files = this.#counter('ooni_archive_files_total', 'Objects of the archive that were read to the end');
  readonly #bytes = this.#counter('ooni_archive_bytes_total', 'Compressed bytes read from the archive');
  readonly #delay = new Histogram({
    name: 'ooni_bucket_delay_seconds',
    help: 'Seconds from the end of a bucket to the end of its run, of completed runs that belong to no backfill',
    buckets: [300, 600, 1800, 3600, 7200, 14_400, 28_800, 86_400, 172_800, 604_800],
    registers: [this.registry],
  });
  readonly #batches = new Gauge({
    name: 'ooni_batches_active',
    help: 'Batches in progress',
    registers: [this.registry],
  });

  /** Counts what a batch reports besides its checkpoints. */
  readonly batchListener = {
    onRetry: () => this.insertRetries.inc(),
    onInsertError: (error: string) => this.#insertErrors.inc({ error }),
    onStage: (stage: BatchStage, seconds: number) => this.#seconds.inc({ stage }, seconds),
  };

  constructor() {
    collectDefaultMetrics({ register: this.registry });
    // Prometheus does not count the first value of a series as an increase, so the failures of a short-lived pod would go unseen.
    for (const status of STATUSES) this.#measurements.inc({ status }, 0);
  }

  /** Counts the progress of a batch at each checkpoint. `resumed` is not counted: the worker of the earlier attempt counted it. */
  watchBatch(resumed: Counts = noCounts()): { reached(counts: Counts): void; end(): void } {
    let before = resumed;
    this.#batches.inc();
    return {
      reached: counts => {
        for (const status of STATUSES) {
          this.#measurements.inc({ status }, Math.max(0, counts[status] - before[status]));
        }
        for (const [table, rows] of Object.entries(counts.rows)) {
          this.#rows.inc({ table }, Math.max(0, rows - (before.rows[table] ?? 0)));
        }
        this.#files.inc(counts.files - before.files);
        this.#bytes.inc(counts.bytes - before.bytes);
        before = counts;
      },
      end: () => this.#batches.dec(),
    };
  }

  /** Records when a run of a bucket was complete, in milliseconds since 1970. */
  completed(bucket: string, end: number): void {
    this.#delay.observe((end - boundsOf(bucket).end) / 1000);
  }

  /** Counts verdicts of an analysis. */
  readonly countVerdicts = (counts: readonly VerdictCount[]): void => {
    for (const { outcome, probe_cc, verdicts } of counts) this.#verdicts.inc({ outcome, probe_cc }, verdicts);
  };

  /** Runs an analysis and counts its seconds, also of one that fails. */
  async timeAnalysis<T>(work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    try {
      return await work();
    } finally {
      this.#seconds.inc({ stage: 'analyse' }, (performance.now() - start) / 1000);
    }
  }

  #counter<const Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Counter<Label> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }
}
