import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { type Counts, noCounts } from '../pipeline/counts.ts';

/** Metrics of a worker, for Prometheus. */
export class WorkerMetrics {
  readonly registry = new Registry();
  readonly runs = this.#counter('ooni_runs_total', 'Stages of runs that ended, by stage and state', ['stage', 'state']);
  readonly insertRetries = this.#counter('ooni_insert_retries_total', 'INSERT statements that were retried');
  readonly #measurements = this.#counter(
    'ooni_measurements_total',
    'Measurements that were read, by status (transformed, skipped, failed, unsupported)',
    ['status'],
  );
  readonly #rows = this.#counter('ooni_rows_total', 'Rows inserted, by table', ['table']);
  readonly #files = this.#counter('ooni_archive_files_total', 'Objects of the archive that were read to the end');
  readonly #bytes = this.#counter('ooni_archive_bytes_total', 'Compressed bytes read from the archive');
  readonly #batches = new Gauge({
    name: 'ooni_batches_active',
    help: 'Batches in progress',
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }

  /** Counts the progress of a batch at each checkpoint. `resumed` is not counted: the worker of the earlier attempt counted it. */
  watchBatch(resumed: Counts = noCounts()): { reached(counts: Counts): void; end(): void } {
    let before = resumed;
    this.#batches.inc();
    return {
      reached: counts => {
        for (const status of ['transformed', 'skipped', 'failed', 'unsupported'] as const) {
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

  #counter<const Label extends string>(name: string, help: string, labelNames: readonly Label[] = []): Counter<Label> {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }
}
